// SPDX-License-Identifier: Apache-2.0
#include "core/nn/rms_norm.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::nn {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight_D, double eps) {
  const auto compute = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor wide = x.to(compute);
  at::Tensor y = wide * at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps);
  if (weight_D.defined()) y = y * weight_D.to(compute);
  return y.to(x.scalar_type());
}

RmsNorm::RmsNorm(const RmsNormOptions& options) : eps_(options.eps) {
  check<ShapeError>(options.dim > 0, "[rms_norm] dim must be positive, got ", options.dim);
  if (options.affine) weight_ = register_parameter("weight", at::ones({options.dim}));
}

}  // namespace polyphony::nn
