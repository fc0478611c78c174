// SPDX-License-Identifier: Apache-2.0
#include "bench/tile_peak.h"

#if defined(__AMX_TILE__)
#include <immintrin.h>
#endif

namespace polyphony::bench {
namespace {

constexpr int64_t kProducts = 4;  // of a round, each into sums of its own

}  // namespace

double operations_of(TileOperation operation, int64_t times) {
  const double depth = operation == TileOperation::bf16 ? 32 : 64;
  return 2.0 * 16 * 16 * depth * static_cast<double>(kProducts * times);
}

#if defined(__AMX_TILE__)

namespace {

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileConfig kWholeTiles;

}  // namespace

void run_tiles(TileOperation operation, int64_t times) {
  _tile_loadconfig(&kWholeTiles);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  if (operation == TileOperation::bf16) {
    for (int64_t i = 0; i < times; ++i) {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  } else {
    for (int64_t i = 0; i < times; ++i) {
      _tile_dpbssd(0, 4, 6);
      _tile_dpbssd(1, 4, 7);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  }
  _tile_release();
}

#else

void run_tiles(TileOperation, int64_t) {}

#endif

}  // namespace polyphony::bench
