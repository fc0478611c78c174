// SPDX-License-Identifier: Apache-2.0
// Fixed sinusoids of grid positions, added to the tokens of a picture.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::nn {

// f32 (rows * columns, dim), row by row: the first half of the channels tells the column, the second half the row. Each
// half is [sin | cos] of position * 10000^(-k / (dim / 4)), computed in f64. dim is a multiple of 4. Throws ShapeError.
// Source: Scalable Diffusion Models with Transformers (arXiv:2212.09748); column first as in its code.
at::Tensor sin_cos_positions(int64_t rows, int64_t columns, int64_t dim);

}  // namespace polyphony::nn
