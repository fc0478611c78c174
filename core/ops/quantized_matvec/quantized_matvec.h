// SPDX-License-Identifier: Apache-2.0
// Products of single rows with weights in few bits: what decode is made of, where the bytes of the weights decide.
// Shapes: T tokens, R rows, E experts (1 for a dense layer), O outputs, I inputs, G groups of inputs.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

// Weight = scale * q, symmetric, row-major.
struct QuantizedBank {
  at::Tensor q_EOB;      // u8 (E, O, B): for 8 bits B = I bytes of two's complement; for 4 bits B = I / 2, the even
                         // input in the low nibble, each value with 8 added
  at::Tensor scale_EOG;  // f32; an input's group is i / (I / G)
  int bits = 8;

  int64_t inputs() const { return q_EOB.size(2) * 8 / bits; }
  int64_t group() const { return inputs() / scale_EOG.size(2); }
};

// w_EOI f32 or bf16, bits 8 or 4, group in [1, I] a divisor of I (I itself: one scale a channel) and even for 4 bits.
// q = round(w / scale) with scale the group's largest |w| over 127 or 7. Throws ShapeError.
QuantizedBank quantize_bank(const at::Tensor& w_EOI, int bits, int64_t group);

// x_TI f32 or bf16; token_R and expert_R i64 (R), or undefined for R = T rows of expert 0 -> (R, O) in x's dtype, sums
// in f32: row r is W[expert_R[r]] x[token_R[r]]. No gradient. Ids are not checked. On the CPU the reference. Throws
// ShapeError.
at::Tensor quantized_matvec(const at::Tensor& x_TI, const QuantizedBank& bank, const at::Tensor& token_R = {},
                            const at::Tensor& expert_R = {});

// The definition: the weights in f32, and their product.
at::Tensor quantized_matvec_reference(const at::Tensor& x_TI, const QuantizedBank& bank, const at::Tensor& token_R = {},
                                      const at::Tensor& expert_R = {});

}  // namespace polyphony::ops
