// SPDX-License-Identifier: Apache-2.0
// Shift, scale and gate of packed tokens, each by the row of its own condition: adaLN without a copy of the condition
// for every token. Shapes: T tokens, C conditions, D width.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

// condition_T i64: 0 = unconditioned, c + 1 = row c of the tables, which are f32, bf16 or f64 (C, D) of any row stride.
// Both are differentiable once with respect to x (and y) and the tables. Throw ShapeError.

// x * (1 + scale[c]) + shift[c]; x itself for unconditioned tokens.
at::Tensor modulate_rows(const at::Tensor& x_TD, const at::Tensor& shift_CD, const at::Tensor& scale_CD,
                         const at::Tensor& condition_T);

// x + gate[c] * y; x + y for unconditioned tokens.
at::Tensor gated_sum_rows(const at::Tensor& x_TD, const at::Tensor& y_TD, const at::Tensor& gate_CD,
                          const at::Tensor& condition_T);

// The definitions in differentiable LibTorch operations.
at::Tensor modulate_rows_reference(const at::Tensor& x_TD, const at::Tensor& shift_CD, const at::Tensor& scale_CD,
                                   const at::Tensor& condition_T);
at::Tensor gated_sum_rows_reference(const at::Tensor& x_TD, const at::Tensor& y_TD, const at::Tensor& gate_CD,
                                    const at::Tensor& condition_T);

}  // namespace polyphony::ops
