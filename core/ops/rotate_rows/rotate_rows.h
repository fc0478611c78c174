// SPDX-License-Identifier: Apache-2.0
// The rotation of rotary position embedding: channel i turns with channel i + D of a head of 2D.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

// x (T, H, 2D) -> the same shape and dtype, turned by the angles of cos and sin (T, D) f32, computed in f32 (f64 for
// f64). Differentiable once with respect to x. Throws ShapeError. Source: RoFormer (arXiv:2104.09864).
at::Tensor rotate_rows(const at::Tensor& x_THC, const at::Tensor& cos_TD, const at::Tensor& sin_TD);

// The definition in differentiable LibTorch operations.
at::Tensor rotate_rows_reference(const at::Tensor& x_THC, const at::Tensor& cos_TD, const at::Tensor& sin_TD);

}  // namespace polyphony::ops
