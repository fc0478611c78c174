// SPDX-License-Identifier: Apache-2.0
// The one interface behind which every router of the literature lives, and the registry of them.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "moe/routing.h"

namespace polyphony::moe {

// What a router promises; the contract tests read it.
struct RouterTraits {
  bool fixed_rows_per_token =
      false;                        // every token has exactly experts_per_token rows (fewer only if fewer are allowed)
  bool weights_sum_to_one = false;  // per token, over its rows
  bool causal = true;               // a token's rows do not depend on other tokens
  bool permutation_equivariant = true;  // permuting tokens permutes the routing
  bool carries_state = false;           // returns state_TP and wants it back in the next layer
  bool learned = true;                  // has parameters that the task's gradient reaches through weight_N
};

// Settings of all routers in one value; each router reads what it needs and refuses what contradicts it (ConfigError).
struct RouterConfig {
  std::string name = "topk";          // key in moe/routers/registry.cpp
  int64_t model_dim = 0;              // D
  int64_t num_experts = 0;            // E
  int64_t experts_per_token = 2;      // K
  std::string score = "softmax";      // softmax | sigmoid | raw (choose by the logits)
  std::string weight_from = "score";  // score | softmax_selected | sigmoid_logit
  std::string normalise = "sum";      // none | sum (divide by the sum of the chosen) | sum_eps (1e-20) | clamp (1e-12)
  double scale = 1.0;                 // multiplies the weights at the end
  bool choice_bias = false;           // a buffer added to the scores for choosing only
  bool gate_per_modality = false;     // topk: a gate of its own for each modality over the same experts
  int64_t num_groups = 1;             // group-limited choice: experts in equal groups,
  int64_t groups_per_token = 1;       // of which this many stay
  std::string group_score = "max";    // max | sum_top2
  double jitter = 0.0;                // input times U(1-jitter, 1+jitter) while training
  double top_p = 0.4;                 // top_p router
  int64_t num_null = 0;               // Z
  double capacity_factor = 1.0;       // expert choice
  int64_t state_dim = 128;            // recurrent router
  std::string recurrence = "carry";   // recurrent: carry | detach (no gradient between layers) | reset (no memory)
  uint64_t hash_seed = 0;             // hash router
};

class Router : public torch::nn::Module {
 public:
  virtual RouterTraits traits() const = 0;
  // Routes all tokens of the context. T = 0 gives zero rows. Never picks an expert that allowed_ME forbids.
  virtual Routing route(const RoutingContext& context) = 0;
  // The buffer (E) added to the scores for choosing only, for update_choice_bias; undefined where there is none.
  virtual at::Tensor choice_bias() const { return {}; }
  // A cell that all layers share (the recurrent router's), or null. The backbone makes layer 0's and hands it to the
  // rest.
  virtual std::shared_ptr<torch::nn::Module> shared_part() const { return nullptr; }
  virtual void share(const std::shared_ptr<torch::nn::Module>&) {}
};

// Throws ConfigError with the known names for an unknown one.
std::shared_ptr<Router> make_router(const RouterConfig& config);

struct RouterInfo {
  std::string name;
  std::string summary;  // one line
  std::string source;   // paper, section
};
std::vector<RouterInfo> router_infos();

}  // namespace polyphony::moe
