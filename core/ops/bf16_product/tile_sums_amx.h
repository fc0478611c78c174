// SPDX-License-Identifier: Apache-2.0
// The sums of one or two left strips with a pair of right ones, in the AMX registers 0 to 3. Included by files that are
// compiled for AMX; all is of internal linkage.
#pragma once
#include <immintrin.h>

#include "core/ops/bf16_product/tiles.h"

namespace polyphony::ops {
namespace {

constexpr int kTileRowBytes = 64;

// Zero, or what is there if `add`.
template <int kStrips>
inline void begin_sums(const float* sum, bool add) {
  if (!add) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kStrips == 2) {
      _tile_zero(2);
      _tile_zero(3);
    }
    return;
  }
  _tile_loadd(0, sum, kTileRowBytes);
  _tile_loadd(1, sum + kSumWords, kTileRowBytes);
  if constexpr (kStrips == 2) {
    _tile_loadd(2, sum + 2 * kSumWords, kTileRowBytes);
    _tile_loadd(3, sum + 3 * kSumWords, kTileRowBytes);
  }
}

template <int kStrips>
inline void end_sums(float* sum) {
  _tile_stored(0, sum, kTileRowBytes);
  _tile_stored(1, sum + kSumWords, kTileRowBytes);
  if constexpr (kStrips == 2) {
    _tile_stored(2, sum + 2 * kSumWords, kTileRowBytes);
    _tile_stored(3, sum + 3 * kSumWords, kTileRowBytes);
  }
}

}  // namespace
}  // namespace polyphony::ops
