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

// What products with x run in: the configured dtype, or f64 where x is f64.
at::ScalarType product_dtype(const at::Tensor& x, at::ScalarType configured);

// One gated MLP of all tokens: x_TD (T, D), w13 (2F, D) gate rows first, w2 (D, F), one dtype -> (T, D).
at::Tensor gated_mlp(const at::Tensor& x_TD, const ops::SharedExpert& weights, ops::Activation activation);

// y_TD + the shared expert of input, if there is one; in y's dtype.
at::Tensor add_shared(const at::Tensor& y_TD, const ExpertInput& input, ops::Activation activation);

ops::SharedExpert cast(const ops::SharedExpert& weights, at::ScalarType dtype);
std::optional<ops::SharedExpert> cast(const std::optional<ops::SharedExpert>& weights, at::ScalarType dtype);

// The rows of experts first .. first + count - 1 as a plan of their own, and the combine weights of its rows.
struct PlanPart {
  ops::DispatchPlan plan;
  at::Tensor weight_N;
};
PlanPart part_of(const ops::DispatchPlan& plan, const at::Tensor& weight_N, int64_t first, int64_t count);

// The weights of one MLP that every token passes: w13 (2 F_s, D), gate rows first, and w2 (D, F_s).
// Source: DeepSeekMoE (arXiv:2401.06066) section 3.2, shared expert isolation.
class SharedMlp : public torch::nn::Module {
 public:
  SharedMlp(int64_t model_dim, int64_t hidden);
  ops::SharedExpert weights() const { return {.w13_2FD = w13_2FD_, .w2_DF = w2_DF_}; }

 private:
  at::Tensor w13_2FD_, w2_DF_;
};

}  // namespace polyphony::moe
