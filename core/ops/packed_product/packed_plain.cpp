// SPDX-License-Identifier: Apache-2.0
// The level of every processor, and the definition that the other is compared with.
#include "core/ops/bf16_product/tile_moves.h"
#include "core/ops/packed_product/packed_kernels.h"

namespace polyphony::ops {
namespace {

int number_of(const uint8_t* tile, int64_t k, int64_t column, bool int4) {
  if (!int4) return static_cast<int8_t>(tile[k * kTileSide + column]);
  const uint8_t byte = tile[k % kTileSide * kTileSide + column];
  return (k < kTileSide ? byte & 15 : byte >> 4) - 8;
}

template <bool kInt4>
void expand(const uint8_t* steps, int64_t count, uint16_t* tiles) {
  constexpr int64_t kTileBytes = kTileWords / (kInt4 ? 2 : 1);
  for (int64_t step = 0; step < count; ++step, steps += kScaleBytes + 2 * kTileBytes)
    for (int64_t side = 0; side < 2; ++side, tiles += kTileWords)
      for (int64_t k = 0; k < kTileDepth; ++k)
        for (int64_t c = 0; c < kTileSide; ++c) {
          uint16_t scale = 0;
          __builtin_memcpy(&scale, steps + (side * kTileSide + c) * 2, sizeof scale);
          const int number = number_of(steps + kScaleBytes + side * kTileBytes, k, c, kInt4);
          store_value(tiles + (k / 2 * kTileSide + c) * 2 + k % 2, static_cast<float>(number) * widened(scale));
        }
}

}  // namespace

const PackedKernels kPlainPacked = {.int8 = {.expand = expand<false>, .few_rows = nullptr},
                                    .int4 = {.expand = expand<true>, .few_rows = nullptr}};

}  // namespace polyphony::ops
