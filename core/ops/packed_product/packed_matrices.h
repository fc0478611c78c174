// SPDX-License-Identifier: Apache-2.0
// Weights in the order in which the kernels read them: one stream of memory, each byte read once.
#pragma once
#include "core/ops/packed_product/quantize.h"

namespace polyphony::ops {

// E matrices (N, K) of products y = x W^T. Rows go in pairs of strips of 16 (bf16_product/tiles.h); a pair is a stream
// of steps, one for each 32 values of depth: two bf16 tiles, or two rows of 16 bf16 scales and two tiles of numbers.
// Gated: N = 2 F, gate rows first, and a pair is the strip of gate rows and that of up rows of the same 16 units.
struct PackedMatrices {
  WeightFormat format = WeightFormat::bf16;
  bool gated = false;
  int64_t count = 0;  // E
  int64_t rows = 0;   // N
  int64_t depth = 0;  // K
  at::Tensor steps;   // u8 (E, bytes of a matrix), the data aligned to 64 bytes

  int64_t pairs() const;       // of strips, in a matrix
  int64_t pair_bytes() const;  // of one
};

int64_t step_bytes(WeightFormat format);  // of a pair, both strips

// w as quantize_matrices has it; f32 is rounded to bf16, or quantised from f32. gated asks for an even N. Any N and K
// work through padding with zeros. `group` is quantize_matrices's. Throws ShapeError.
PackedMatrices pack_matrices(const at::Tensor& w, WeightFormat format, bool gated = false, int64_t group = 32);
PackedMatrices pack_matrices(const QuantizedMatrices& q, bool gated = false);

// f32 (E, N, K): the weights as bf16 products see them.
at::Tensor unpack_matrices(const PackedMatrices& packed);

}  // namespace polyphony::ops
