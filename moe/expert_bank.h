// SPDX-License-Identifier: Apache-2.0
// The one interface behind which every kind of routed expert lives, and the registry of them.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/ops/moe_experts/moe_experts.h"

namespace polyphony::moe {

// Settings of all expert kinds in one value; each kind reads what it needs and refuses what contradicts it
// (ConfigError).
struct ExpertBankConfig {
  std::string name = "feed_forward";  // key in moe/experts/registry.cpp
  int64_t model_dim = 0;              // D
  int64_t num_experts = 0;            // E
  int64_t expert_hidden = 0;          // F
  std::string activation = "silu";    // silu | gelu, gated
  std::string compute_dtype =
      "float32";  // float32 | bfloat16: what the products run in; weights stay as they are stored
};

// What the experts of one layer compute from.
struct ExpertInput {
  at::Tensor x_TD = {};  // float; the output has its dtype
  const ops::DispatchPlan& plan;
  at::Tensor weight_N = {};                      // f32, combine weight of each routing row
  std::optional<ops::SharedExpert> shared = {};  // every token passes it; added with weight 1
};

class ExpertBank : public torch::nn::Module {
 public:
  // y_t = sum over the rows n of token t of weight_N[n] * expert_n(x_t)  (+ shared(x_t)); tokens without rows give 0 (+
  // shared).
  virtual at::Tensor forward(const ExpertInput& input) = 0;
};

// Throws ConfigError with the known names for an unknown one.
std::shared_ptr<ExpertBank> make_expert_bank(const ExpertBankConfig& config);

struct ExpertBankInfo {
  std::string name;
  std::string summary;  // one line
  std::string source;   // paper, section
};
std::vector<ExpertBankInfo> expert_bank_infos();

}  // namespace polyphony::moe
