// SPDX-License-Identifier: Apache-2.0
// Root mean square normalisation over the last axis.
#pragma once
#include <torch/nn/module.h>

namespace polyphony::nn {

// x / sqrt(mean(x^2) + eps) * weight, computed in f32 (f64 for f64), returned in x's dtype. weight (D) or undefined.
// Source: Root Mean Square Layer Normalization (arXiv:1910.07467).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight_D, double eps);

struct RmsNormOptions {
  int64_t dim = 0;
  double eps = 1e-6;
  bool affine = true;
};

// Parameter: weight (D), ones; none if not affine.
class RmsNorm : public torch::nn::Module {
 public:
  explicit RmsNorm(const RmsNormOptions& options);
  at::Tensor forward(const at::Tensor& x) const { return rms_norm(x, weight_, eps_); }

 private:
  at::Tensor weight_;
  double eps_;
};

}  // namespace polyphony::nn
