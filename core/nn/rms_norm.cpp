// SPDX-License-Identifier: Apache-2.0
#include "core/nn/rms_norm.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::nn {

RmsNorm::RmsNorm(const RmsNormOptions& options) : eps_(options.eps) {
  check<ShapeError>(options.dim > 0, "[rms_norm] dim must be positive, got ", options.dim);
  if (options.affine) weight_ = register_parameter("weight", at::ones({options.dim}));
}

}  // namespace polyphony::nn
