// SPDX-License-Identifier: Apache-2.0
// The seam between two halves of an adaLN block, in one pass over the rows: what the half before gave is gated and
// added to the stream; the stream is normed, scaled and shifted for the half to come.
// Shapes: B samples of T / B tokens each, D width.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

struct AdaNormInput {
  at::Tensor x_TD;                          // f32, contiguous: the stream, changed in place
  at::Tensor update_TD = {}, gate_BD = {};  // f32 or bf16, and f32; undefined: nothing is added
  at::Tensor shift_BD = {}, scale_BD = {};  // f32; these three may have rows of any stride
  double eps = 1e-6;
};

// x += gate * update; returns norm(x) * (1 + scale) + shift in `dtype`, f32 or bf16, where norm is a layer norm without
// weights. On the CPU, without gradients. Source: arXiv:2212.09748, section 3.2. Throws ShapeError.
at::Tensor ada_norm_(const AdaNormInput& in, at::ScalarType dtype);

}  // namespace polyphony::ops
