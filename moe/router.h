// SPDX-License-Identifier: Apache-2.0
// The one interface behind which every router of the literature lives, and the registry of them.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "moe/options.h"
#include "moe/router_config.h"
#include "moe/routing.h"

namespace polyphony::moe {

// What a router promises outside training (noise and balanced choices of training may break causal and fixed rows); the
// contract tests read it.
struct RouterTraits {
  bool fixed_rows_per_token =
      false;                        // every token has exactly experts_per_token rows (fewer only if fewer are allowed)
  bool weights_sum_to_one = false;  // per token, over its rows
  bool weights_not_negative = true;
  bool skips_tokens = false;            // a token may have no row at all
  bool causal = true;                   // a token's rows do not depend on later tokens
  bool looks_back = false;              // they depend on earlier tokens of the sample
  bool permutation_equivariant = true;  // permuting tokens permutes the routing
  bool carries_state = false;           // returns state_TP and wants it back in the next layer
  bool learned = true;                  // has parameters that the task's gradient reaches through weight_N
  bool exact_gradient = true;           // that gradient is the derivative of weight_N, not an estimate of another one
  bool needs_token_id = false;          // routes by token_id_T
  bool needs_label = false;             // routes by label_T
};

class Router : public torch::nn::Module {
 public:
  virtual RouterTraits traits() const = 0;
  // Routes all tokens of the context. T = 0 gives zero rows. Never picks an expert that allowed_ME forbids. Throws
  // ShapeError if the context does not fit, NonFiniteError naming layer and step if a logit is NaN or infinite.
  virtual Routing route(const RoutingContext& context) = 0;
  // The buffer (E) added to the scores for choosing only, for update_choice_bias; undefined where there is none.
  virtual at::Tensor choice_bias() const { return {}; }
  // A cell that all layers share (the recurrent router's), or null. The backbone makes layer 0's and hands it to the
  // rest.
  virtual std::shared_ptr<torch::nn::Module> shared_part() const { return nullptr; }
  virtual void share(const std::shared_ptr<torch::nn::Module>&) {}
};

// Throws ConfigError with the known names for an unknown one, and for settings that are out of range, that the router
// does not take, or that contradict one another.
std::shared_ptr<Router> make_router(const RouterConfig& config);

// The settings that a router's name stands for before a recipe says more. Throws ConfigError as make_router.
RouterConfig router_defaults(const std::string& name);

// The keys that all routers together know; a router takes those that router_info names.
const std::vector<Option<RouterConfig>>& router_options();
bool router_takes(const std::string& name, std::string_view key);
// Name and value of what the config's router takes, "router" first: what a recipe would say.
std::vector<std::pair<std::string, OptionValue>> router_values(const RouterConfig& config);
// The router of a [moe] table: its defaults and what the table says, num_experts 0 if that is not given. Throws
// ConfigError.
RouterConfig read_router(const Section& moe);

struct RouterInfo {
  std::string name;
  std::string summary;                   // one line
  std::string source;                    // paper, section
  std::vector<OptionInfo> options = {};  // keys of [moe] that it takes
};
std::vector<RouterInfo> router_infos();

}  // namespace polyphony::moe
