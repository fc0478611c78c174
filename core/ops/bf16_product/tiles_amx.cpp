// SPDX-License-Identifier: Apache-2.0
// Two by two tiles in the registers of AMX: four loads, four products of 16 x 16 x 32.
#include "core/ops/bf16_product/tile_moves_avx512.h"

namespace polyphony::ops {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
// Eight whole tiles. A constant, since the compiler does not see that the instruction reads all of it.
constexpr TileConfig kWholeTiles = {.palette = 1,
                                    .start_row = 0,
                                    .reserved = {},
                                    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                    .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

void begin() { _tile_loadconfig(&kWholeTiles); }

// LibTorch's products on this thread load their own configuration.
void end() { _tile_release(); }

void multiply(const StripPairs& s, float* sum, bool add) {
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
  const uint16_t* left = s.left;
  const uint16_t* right = s.right;
  for (int64_t t = 0; t < s.depth; ++t, left += kTileWords, right += s.right_stride) {
    _tile_loadd(4, left, kRow);
    _tile_loadd(6, right, kRow);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + s.right_step, kRow);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left + s.left_step, kRow);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sum, kRow);
  _tile_stored(1, sum + kSumWords, kRow);
  _tile_stored(2, sum + 2 * kSumWords, kRow);
  _tile_stored(3, sum + 3 * kSumWords, kRow);
}

}  // namespace

const TileKernels kAmxTiles = {
    begin, end, multiply, pack_avx512<true>, pack_avx512<false>, store_avx512<float>, store_avx512<uint16_t>};

}  // namespace polyphony::ops
