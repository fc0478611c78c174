// SPDX-License-Identifier: Apache-2.0
// Two by two tiles in the registers of AMX; the configuration is that of bf16_product's tiles.
#include "core/ops/bf16_product/tile_sums_amx.h"
#include "core/ops/conv_map/taps.h"

namespace polyphony::ops {

void multiply_taps_amx(const Taps& t, float* sum, bool add) {
  begin_sums<2>(sum, add);
  const uint16_t* right = t.right;
  for (int64_t d = 0; d < t.depth; ++d, right += kTileWords) {
    _tile_loadd(4, t.left[0] + t.offset[d], kTileRowBytes);
    _tile_loadd(6, right, kTileRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + t.right_step, kTileRowBytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, t.left[1] + t.offset[d], kTileRowBytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  end_sums<2>(sum);
}

}  // namespace polyphony::ops
