// SPDX-License-Identifier: Apache-2.0
// Two by two tiles in the registers of AMX: four loads, four products of 16 x 16 x 32.
#include "core/ops/bf16_product/tile_moves_avx512.h"
#include "core/ops/bf16_product/tile_sums_amx.h"

namespace polyphony::ops {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
// Sums (0 to 3) and left tiles (4, 5) of so many rows, right tiles (6, 7) whole: the fewer rows, the quicker the
// products. Constants, since the compiler does not see that the instruction reads all of it.
constexpr TileConfig tiles_of_rows(uint8_t rows) {
  return {.palette = 1,
          .start_row = 0,
          .reserved = {},
          .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
          .rows = {rows, rows, rows, rows, rows, rows, 16, 16}};
}
constexpr TileConfig kTiles[] = {tiles_of_rows(1),  tiles_of_rows(2),  tiles_of_rows(3),  tiles_of_rows(4),
                                 tiles_of_rows(5),  tiles_of_rows(6),  tiles_of_rows(7),  tiles_of_rows(8),
                                 tiles_of_rows(9),  tiles_of_rows(10), tiles_of_rows(11), tiles_of_rows(12),
                                 tiles_of_rows(13), tiles_of_rows(14), tiles_of_rows(15), tiles_of_rows(16)};

void begin(int64_t rows) { _tile_loadconfig(&kTiles[rows < 1 ? 0 : rows > 16 ? 15 : rows - 1]); }

// LibTorch's products on this thread load their own configuration.
void end() { _tile_release(); }

void fetch_ahead(const StripPairs& s, const uint16_t* right) {
  if (s.ahead == 0) return;
  const auto* from = reinterpret_cast<const char*>(right + s.ahead);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm_prefetch(from + i * kTileRowBytes, _MM_HINT_T1);
}

// One left strip, of up to 16 rows, or two.
template <int kStrips>
void multiply_strips(const StripPairs& s, float* sum, bool add) {
  begin_sums<kStrips>(sum, add);
  const uint16_t* left = s.left;
  const uint16_t* right = s.right;
  for (int64_t t = 0; t < s.depth; ++t, left += kTileWords, right += s.right_stride) {
    _tile_loadd(4, left, kTileRowBytes);
    _tile_loadd(6, right, kTileRowBytes);
    fetch_ahead(s, right);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + s.right_step, kTileRowBytes);
    fetch_ahead(s, right + s.right_step);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kStrips == 2) {
      _tile_loadd(5, left + s.left_step, kTileRowBytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  end_sums<kStrips>(sum);
}

void multiply(const StripPairs& s, float* sum, bool add) {
  (s.rows <= kTileSide ? multiply_strips<1> : multiply_strips<2>)(s, sum, add);
}

}  // namespace

const TileKernels kAmxTiles = {begin,
                               end,
                               multiply,
                               pack_avx512<true>,
                               pack_avx512<false>,
                               round_avx512,
                               store_avx512<float>,
                               store_avx512<uint16_t>};

}  // namespace polyphony::ops
