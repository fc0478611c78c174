// SPDX-License-Identifier: Apache-2.0
// Root mean square normalisation over the last axis, in one pass over each row forward and one backward.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

// x / sqrt(mean(x^2) + eps) * weight, computed in f32 (f64 for f64), returned in x's dtype. weight (D) or undefined.
// Differentiable once with respect to x and weight. Throws ShapeError.
// Source: Root Mean Square Layer Normalization (arXiv:1910.07467).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight_D, double eps);

// The definition in differentiable LibTorch operations.
at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight_D, double eps);

}  // namespace polyphony::ops
