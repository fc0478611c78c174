// SPDX-License-Identifier: Apache-2.0
// The level of every processor, and the definition that the others are compared with.
#include "core/ops/bf16_product/tile_moves.h"

namespace polyphony::ops {
namespace {

void multiply(const StripPairs& s, float* sum, bool add) {
  if (!add) clear_sums(sum);
  for (int64_t pair = 0; pair < 4; ++pair, sum += kSumWords) {
    const uint16_t* left = s.left + pair / 2 * s.left_step;
    const uint16_t* right = s.right + pair % 2 * s.right_step;
    for (int64_t t = 0; t < s.depth; ++t, left += kTileWords, right += s.right_stride)
      for (int64_t r = 0; r < rows_of(s, pair / 2); ++r)
        for (int64_t k = 0; k < kTileDepth; ++k) {
          const float l = widened(left[r * kTileDepth + k]);
          for (int64_t c = 0; c < kTileSide; ++c)
            sum[r * kTileSide + c] += l * widened(right[(k / 2 * kTileSide + c) * 2 + k % 2]);
        }
  }
}

}  // namespace

const TileKernels kPlainTiles = {any_rows,          nothing,     multiply,           pack_plain<true>,
                                 pack_plain<false>, round_plain, store_plain<float>, store_plain<uint16_t>};

}  // namespace polyphony::ops
