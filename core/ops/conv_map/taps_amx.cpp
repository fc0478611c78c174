// SPDX-License-Identifier: Apache-2.0
// Two by two tiles in the registers of AMX; the configuration is that of bf16_product's tiles.
#include <immintrin.h>

#include "core/ops/conv_map/taps.h"

namespace polyphony::ops {

void multiply_taps_amx(const Taps& t, float* sum, bool add) {
  constexpr int kRow = 64;  // bytes
  if (add) {
    _tile_loadd(0, sum, kRow);
    _tile_loadd(1, sum + kSumWords, kRow);
    _tile_loadd(2, sum + 2 * kSumWords, kRow);
    _tile_loadd(3, sum + 3 * kSumWords, kRow);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const uint16_t* right = t.right;
  for (int64_t d = 0; d < t.depth; ++d, right += kTileWords) {
    _tile_loadd(4, t.left[0] + t.offset[d], kRow);
    _tile_loadd(6, right, kRow);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + t.right_step, kRow);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, t.left[1] + t.offset[d], kRow);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sum, kRow);
  _tile_stored(1, sum + kSumWords, kRow);
  _tile_stored(2, sum + 2 * kSumWords, kRow);
  _tile_stored(3, sum + 3 * kSumWords, kRow);
}

}  // namespace polyphony::ops
