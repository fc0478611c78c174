// SPDX-License-Identifier: Apache-2.0
// Weights and settings that gated MLP experts share, routed or not.
#pragma once
#include <torch/nn/module.h>

#include <string>

#include "core/ops/moe_experts/moe_experts.h"
#include "moe/expert_bank.h"

namespace polyphony::moe {

// f32 drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), fan_in the last axis: kaiming-uniform with a = sqrt(5).
at::Tensor expert_weight(at::IntArrayRef shape);

// Throw ConfigError for an unknown name.
ops::Activation activation_of(const std::string& name);
at::ScalarType compute_dtype_of(const std::string& name);

// The weights of one MLP that every token passes: w13 (2 F_s, D), gate rows first, and w2 (D, F_s).
// Source: DeepSeekMoE (arXiv:2401.06066) section 3.2, shared expert isolation.
class SharedMlp : public torch::nn::Module {
 public:
  SharedMlp(int64_t model_dim, int64_t hidden);
  ops::SharedExpert weights() const { return {.w13_2FD = w13_2FD_, .w2_DF = w2_DF_}; }
  // w2 (activation(gate x) * up x), for layers that weigh it; others give weights() to the fused operation.
  at::Tensor forward(const at::Tensor& x_TD, ops::Activation activation) const;

 private:
  at::Tensor w13_2FD_, w2_DF_;
};

}  // namespace polyphony::moe
