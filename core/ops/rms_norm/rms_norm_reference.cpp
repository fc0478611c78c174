// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/rms_norm/rms_norm.h"

namespace polyphony::ops {

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight_D, double eps) {
  const auto compute = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor wide = x.to(compute);
  at::Tensor y = wide * at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps);
  if (weight_D.defined()) y = y * weight_D.to(compute);
  return y.to(x.scalar_type());
}

}  // namespace polyphony::ops
