// SPDX-License-Identifier: Apache-2.0
#include "core/ops/conv_map/taps.h"

#include <algorithm>

#include "core/base/cpu_level.h"

namespace polyphony::ops {
namespace {

// Levels whose products cost much more than a copy take the tiles as strips, some steps at a time.
constexpr int64_t kSteps = 16;

template <CpuLevel kLevel>
void multiply_taps(const Taps& t, float* sum, bool add) {
  alignas(64) uint16_t strips[2][kSteps * kTileWords];
  static const TileKernels& kernels = kernels_of(kLevel);
  for (int64_t d = 0; d < t.depth; d += kSteps) {
    const int64_t steps = std::min(kSteps, t.depth - d);
    for (int64_t side = 0; side < 2; ++side)
      for (int64_t s = 0; s < steps; ++s)
        std::copy_n(t.left[side] + t.offset[d + s], kTileWords, strips[side] + s * kTileWords);
    kernels.multiply({.left = strips[0],
                      .right = t.right + d * kTileWords,
                      .left_step = kSteps * kTileWords,
                      .right_step = t.right_step,
                      .right_stride = kTileWords,
                      .depth = steps,
                      .rows = 2 * kTileSide,
                      .ahead = 0},
                     sum, add || d > 0);
  }
}

}  // namespace

MultiplyTaps multiply_taps_of(CpuLevel level) {
  kernels_of(level);
#if defined(__x86_64__)
  if (level == CpuLevel::amx) return multiply_taps_amx;
  if (level == CpuLevel::avx512_bf16) return multiply_taps<CpuLevel::avx512_bf16>;
  if (level == CpuLevel::avx2) return multiply_taps<CpuLevel::avx2>;
#endif
  return multiply_taps<CpuLevel::plain>;
}

}  // namespace polyphony::ops
