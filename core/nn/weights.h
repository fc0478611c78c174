// SPDX-License-Identifier: Apache-2.0
// The matrices of a linear map or of a bank of experts, and their products.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/ops/dispatch_plan/dispatch_plan.h"
#include "core/ops/gated_activation/gated_activation.h"

namespace polyphony::nn {

struct Weights {
  at::Tensor plain;  // (N, K) of a map, (E, N, K) of a bank; f32 or bf16
};

// x (..., K) -> (..., N) in x's dtype, computed in that of the weights.
at::Tensor product(const at::Tensor& x, const Weights& weights_NK);

// ops::moe_experts of these banks; the result has x's dtype.
at::Tensor experts_product(const at::Tensor& x_TD, const ops::DispatchPlan& plan, const at::Tensor& weight_N,
                           const Weights& w13_E2FD, const Weights& w2_EDF,
                           ops::Activation activation = ops::Activation::silu);

}  // namespace polyphony::nn
