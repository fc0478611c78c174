// SPDX-License-Identifier: Apache-2.0
// Forward and backward of moe_experts on CPU tensors that moe_experts.cpp has checked and made contiguous.
#pragma once
#include "core/ops/moe_experts/moe_experts.h"

namespace polyphony::ops {

struct ExpertsInput {
  at::Tensor x_TD;
  DispatchPlan plan;
  at::Tensor weight_N;
  at::Tensor w13_E2FD;
  at::Tensor w2_EDF;
  std::optional<SharedExpert> shared;
  Activation activation = Activation::silu;
  bool round_products = false;  // products of f32 tensors in bf16; banks may be bf16 copies then
};

// y and what backward needs of the way: what the first product gave, for routed rows and for the shared expert.
struct ExpertsOutput {
  at::Tensor y_TD;
  at::Tensor h_R2F;
  at::Tensor shared_h_T2F;  // undefined without a shared expert
};

// Undefined where not wanted.
struct ExpertsGradient {
  at::Tensor x_TD;
  at::Tensor weight_N;
  at::Tensor w13_E2FD;
  at::Tensor w2_EDF;
  at::Tensor shared_w13_2FD;
  at::Tensor shared_w2_DF;
};

struct ExpertsWanted {
  bool x = true;
  bool w13 = true;
  bool w2 = true;
  bool shared = true;
  std::optional<BankGradients> into;  // instead of w13 and w2
};

ExpertsOutput moe_experts_forward_cpu(const ExpertsInput& in);
ExpertsGradient moe_experts_backward_cpu(const ExpertsInput& in, const ExpertsOutput& out, const at::Tensor& dy_TD,
                                         const ExpertsWanted& wanted);

}  // namespace polyphony::ops
