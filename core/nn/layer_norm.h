// SPDX-License-Identifier: Apache-2.0
// Layer normalisation over the last axis.
#pragma once
#include <torch/nn/module.h>

namespace polyphony::nn {

// (x - mean) / sqrt(variance + eps) * weight + bias, computed in f32 (f64 for f64), returned in x's dtype.
// weight and bias (D), each may be undefined. Source: Layer Normalization (arXiv:1607.06450).
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight_D, const at::Tensor& bias_D, double eps);

struct LayerNormOptions {
  int64_t dim = 0;
  double eps = 1e-6;
  bool affine = true;  // weight and bias
};

// Parameters: weight (D) ones, bias (D) zeros; none if not affine.
class LayerNorm : public torch::nn::Module {
 public:
  explicit LayerNorm(const LayerNormOptions& options);
  at::Tensor forward(const at::Tensor& x) const { return layer_norm(x, weight_, bias_, eps_); }

 private:
  at::Tensor weight_;
  at::Tensor bias_;
  double eps_;
};

}  // namespace polyphony::nn
