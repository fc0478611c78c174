// SPDX-License-Identifier: Apache-2.0
// The settings under which the contract of expert kinds is tested: every kind of the registry, and options by name.
#pragma once
#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "moe/expert_bank.h"

namespace polyphony::moe {

inline constexpr int64_t kBankWidth = 8, kBankExperts = 5;

struct BankCase {
  std::string label;
  ExpertBankConfig config;
};

inline std::vector<BankCase> bank_cases() {
  std::vector<BankCase> cases;
  const auto add = [&cases](const std::string& kind, const std::string& label, ExpertBankConfig config) {
    config.name = kind;
    config.model_dim = kBankWidth;
    if (config.num_experts == 0) config.num_experts = kBankExperts;
    if (expert_bank_takes(kind, "expert_hidden")) config.expert_hidden = 6;
    if (expert_bank_takes(kind, "lora_rank")) config.lora_rank = 2;
    cases.push_back({kind + "_" + label, config});
  };
  for (const auto& row : expert_bank_infos()) {
    add(row.name, "plain", {});
    add(row.name, "compressed", {.lsh_hashes = 1});
  }
  add("feed_forward", "gelu", {.activation = "gelu"});
  add("sized", "geometric", {.expert_hidden_end = 12});
  add("sized", "arithmetic", {.expert_hidden_end = 2, .size_progression = "arithmetic"});
  add("zero_computation", "no_mlp", {.num_zero = 0, .num_copy = 3, .num_constant = 2});
  add("lora", "trained_base", {.freeze_base = false});
  return cases;
}

// A bank whose low-rank maps do not start at 0, so that no gradient vanishes.
inline std::shared_ptr<ExpertBank> random_bank(const ExpertBankConfig& config, uint64_t seed = 2) {
  at::manual_seed(seed);
  auto bank = make_expert_bank(config);
  const at::NoGradGuard no_grad;
  for (auto& parameter : bank->parameters())
    if (parameter.count_nonzero().item<int64_t>() == 0) parameter.normal_(0, 0.5);
  return bank;
}

// T tokens with two rows each: every expert gets rows, the last one a row of every token.
struct BankRows {
  at::Tensor x_TD, token_N, expert_N, weight_N;
  ops::DispatchPlan plan;
};
inline BankRows bank_rows(int64_t T, int64_t E, at::ScalarType dtype = at::kFloat) {
  at::manual_seed(3);
  BankRows r;
  r.x_TD = at::randn({T, kBankWidth}).to(dtype);
  const auto once = at::arange(T);
  r.token_N = E == 1 ? once : once.repeat_interleave(2);
  r.expert_N = E == 1 ? at::zeros({T}, at::kLong)
                      : at::stack({at::arange(T) % (E - 1), at::full({T}, E - 1, at::kLong)}, 1).flatten();
  r.weight_N = at::rand({r.token_N.size(0)}) + 0.1;
  if (dtype == at::kDouble) r.weight_N = r.weight_N.to(at::kDouble);
  r.plan = ops::make_dispatch_plan(r.token_N, r.expert_N, T, E);
  return r;
}

}  // namespace polyphony::moe
