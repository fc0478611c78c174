// SPDX-License-Identifier: Apache-2.0
// The one interface behind which every kind of routed expert lives, and the registry of them.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/ops/moe_experts/moe_experts.h"
#include "moe/options.h"

namespace polyphony::moe {

// Settings of all expert kinds in one value. experts/options.cpp has their keys, ranges and one line each; a kind
// refuses what it does not take (ConfigError).
struct ExpertBankConfig {
  std::string name = "feed_forward";      // key in moe/experts/registry.cpp
  int64_t model_dim = 0;                  // D
  int64_t num_experts = 0;                // E, all kinds of experts in the bank together
  int64_t expert_hidden = 0;              // F
  std::string activation = "silu";        // silu | gelu, gated
  std::string compute_dtype = "float32";  // float32 | bfloat16: what the products run in; weights stay as stored

  int64_t expert_hidden_end = 0;               // sized: F of the last expert; 0: as the first
  std::string size_progression = "geometric";  // sized: arithmetic | geometric
  int64_t num_zero = 1;                        // zero_computation: the last experts give 0,
  int64_t num_copy = 1;                        // those before give their input,
  int64_t num_constant = 2;                    // those before a mixture of input and a learned vector
  int64_t lora_rank = 8;                       // lora, adapter
  double lora_alpha = 16.0;                    // scale of the low-rank product is lora_alpha / lora_rank
  bool freeze_base = true;                     // lora: the weights that all experts share get no gradient
  int64_t lsh_hashes = 0;                      // any kind: hashes that join similar rows of an expert; 0: every row
  int64_t lsh_seed = 0;

  bool operator==(const ExpertBankConfig&) const = default;
};

// What the experts of one layer compute from.
struct ExpertInput {
  at::Tensor x_TD = {};  // float; the output has its dtype. f64 computes in f64, for checks of gradients
  const ops::DispatchPlan& plan;
  at::Tensor weight_N = {};                      // f32 (f64 for f64), combine weight of each routing row
  std::optional<ops::SharedExpert> shared = {};  // every token passes it; added with weight 1
};

class ExpertBank : public torch::nn::Module {
 public:
  // y_t = sum over the rows n of token t of weight_N[n] * expert_n(x_t)  (+ shared(x_t)); tokens without rows give 0 (+
  // shared). The same bits for any number of threads.
  virtual at::Tensor forward(const ExpertInput& input) = 0;
  // f64 (E): what an expert's row costs against the dearest, in products: capacity and losses read it.
  virtual at::Tensor cost_E() const = 0;
};

// Throws ConfigError with the known names for an unknown one, and for settings that are out of range, that the kind
// does not take, or that contradict one another.
std::shared_ptr<ExpertBank> make_expert_bank(const ExpertBankConfig& config);

// The keys that all kinds together know; a kind takes those that its info names.
const std::vector<Option<ExpertBankConfig>>& expert_bank_options();
bool expert_bank_takes(const std::string& name, std::string_view key);

struct ExpertBankInfo {
  std::string name;
  std::string summary;                   // one line
  std::string source;                    // paper, section
  std::vector<OptionInfo> options = {};  // keys of [moe] that it takes
};
std::vector<ExpertBankInfo> expert_bank_infos();

}  // namespace polyphony::moe
