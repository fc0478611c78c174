// SPDX-License-Identifier: Apache-2.0
#include "core/nn/weights.h"

#include <ATen/ATen.h>

#include "core/ops/linear/linear.h"
#include "core/ops/moe_experts/moe_experts.h"

namespace polyphony::nn {

at::Tensor product(const at::Tensor& x, const Weights& weights_NK) {
  const auto dtype = weights_NK.plain.scalar_type();
  return ops::linear(x.to(dtype), weights_NK.plain).to(x.scalar_type());
}

at::Tensor experts_product(const at::Tensor& x_TD, const ops::DispatchPlan& plan, const at::Tensor& weight_N,
                           const Weights& w13_E2FD, const Weights& w2_EDF, ops::Activation activation) {
  const auto dtype = w13_E2FD.plain.scalar_type();
  return ops::moe_experts(x_TD.to(dtype), plan, weight_N, w13_E2FD.plain, w2_EDF.plain, std::nullopt, activation)
      .to(x_TD.scalar_type());
}

}  // namespace polyphony::nn
