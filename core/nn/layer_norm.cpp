// SPDX-License-Identifier: Apache-2.0
#include "core/nn/layer_norm.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::nn {

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight_D, const at::Tensor& bias_D, double eps) {
  const auto compute = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto widen = [&](const at::Tensor& t) { return t.defined() ? t.to(compute) : t; };
  return at::layer_norm(x.to(compute), {x.size(-1)}, widen(weight_D), widen(bias_D), eps).to(x.scalar_type());
}

LayerNorm::LayerNorm(const LayerNormOptions& options) : eps_(options.eps) {
  check<ShapeError>(options.dim > 0, "[layer_norm] dim must be positive, got ", options.dim);
  if (!options.affine) return;
  weight_ = register_parameter("weight", at::ones({options.dim}));
  bias_ = register_parameter("bias", at::zeros({options.dim}));
}

}  // namespace polyphony::nn
