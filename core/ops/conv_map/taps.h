// SPDX-License-Identifier: Apache-2.0
// The inner product of a convolution. A tile of the map is kept as blocks of 32 channels, position after position: 16
// positions that follow one another are a left tile (bf16_product/tiles.h) wherever they begin, so that each of the
// kernel's places is a product of rows that lie elsewhere, and none is copied.
#pragma once
#include "core/ops/bf16_product/tiles.h"

namespace polyphony::ops {

// Two groups of 16 positions and two of 16 output channels. Step d multiplies the tile `offset[d]` words after each
// left pointer by tile d of each right strip.
struct Taps {
  const uint16_t* left[2];
  const int64_t* offset;
  const uint16_t* right;
  int64_t right_step;  // words from a strip to the next
  int64_t depth;       // steps
};

// sum[2][2], added to what is there if `add`.
using MultiplyTaps = void (*)(const Taps& taps, float* sum, bool add);

// Throws ShapeError where this machine lacks the level.
MultiplyTaps multiply_taps_of(CpuLevel level);

#if defined(__x86_64__)
void multiply_taps_amx(const Taps& taps, float* sum, bool add);
#endif

}  // namespace polyphony::ops
