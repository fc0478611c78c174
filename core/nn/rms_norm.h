// SPDX-License-Identifier: Apache-2.0
// Root mean square normalisation over the last axis.
#pragma once
#include <torch/nn/module.h>

#include "core/ops/rms_norm/rms_norm.h"

namespace polyphony::nn {

struct RmsNormOptions {
  int64_t dim = 0;
  double eps = 1e-6;
  bool affine = true;
};

// Parameter: weight (D), ones; none if not affine.
class RmsNorm : public torch::nn::Module {
 public:
  explicit RmsNorm(const RmsNormOptions& options);
  at::Tensor forward(const at::Tensor& x) const { return ops::rms_norm(x, weight_, eps_); }

 private:
  at::Tensor weight_;
  double eps_;
};

}  // namespace polyphony::nn
