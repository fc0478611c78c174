// SPDX-License-Identifier: Apache-2.0
// Products of single rows with weights in few bits, row-major, on a GPU: what decode is made of, where the bytes of the
// weights decide. On the CPU this is the reference; what decodes there is packed_product.
// Shapes: T tokens, R rows, E matrices (1 for a dense layer) of N rows and K values.
#pragma once
#include "core/ops/packed_product/quantize.h"

namespace polyphony::ops {

// x_TK f32 or bf16; token_R and expert_R i64 (R), or both undefined for R = T rows of matrix 0 -> (R, N) in x's dtype,
// sums in f32: row r is W[expert_R[r]] x[token_R[r]]. No gradient. Ids are not checked. Throws ShapeError.
at::Tensor quantized_matvec(const at::Tensor& x_TK, const QuantizedMatrices& w, const at::Tensor& token_R = {},
                            const at::Tensor& expert_R = {});

// The definition: the weights in f32, and their product.
at::Tensor quantized_matvec_reference(const at::Tensor& x_TK, const QuantizedMatrices& w,
                                      const at::Tensor& token_R = {}, const at::Tensor& expert_R = {});

}  // namespace polyphony::ops
