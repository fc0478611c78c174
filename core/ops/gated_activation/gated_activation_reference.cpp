// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/gated_activation/gated_activation.h"

namespace polyphony::ops {

at::Tensor gated_activation_reference(const at::Tensor& h_R2F, Activation activation) {
  const auto compute = h_R2F.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto halves = h_R2F.to(compute).chunk(2, -1);
  const at::Tensor gate = activation == Activation::silu ? at::silu(halves[0]) : at::gelu(halves[0], "tanh");
  return (gate * halves[1]).to(h_R2F.scalar_type());
}

}  // namespace polyphony::ops
