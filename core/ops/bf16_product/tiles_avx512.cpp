// SPDX-License-Identifier: Apache-2.0
// Products of bf16 pairs (AVX512-BF16) into 16 columns of f32 a register.
#include "core/ops/bf16_product/tile_moves_avx512.h"

namespace polyphony::ops {
namespace {

// Eight rows of the left strip and both right strips: 16 registers of sums.
void multiply_rows(const StripPairs& s, const uint16_t* left, float* sum, bool add) {
  __m512 rows[8][2];
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r)
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side)
      rows[r][side] = add ? _mm512_loadu_ps(sum + side * kSumWords + r * kTileSide) : _mm512_setzero_ps();
  const uint16_t* right = s.right;
  for (int64_t t = 0; t < s.depth; ++t, left += kTileWords, right += s.right_stride)
    for (int64_t k = 0; k < kTileDepth; k += 2) {
      const auto pairs0 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(right + k * kTileSide));
      const auto pairs1 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(right + s.right_step + k * kTileSide));
#pragma GCC unroll 8
      for (int r = 0; r < 8; ++r) {
        int32_t pair = 0;
        __builtin_memcpy(&pair, left + r * kTileDepth + k, sizeof pair);
        const auto wanted = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
        rows[r][0] = _mm512_dpbf16_ps(rows[r][0], wanted, pairs0);
        rows[r][1] = _mm512_dpbf16_ps(rows[r][1], wanted, pairs1);
      }
    }
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r)
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) _mm512_storeu_ps(sum + side * kSumWords + r * kTileSide, rows[r][side]);
}

void any_rows(int64_t) {}
void nothing() {}

void multiply(const StripPairs& s, float* sum, bool add) {
  for (int64_t first = 0; first < s.rows; first += 8) {
    const int64_t strip = first / kTileSide, row = first % kTileSide;
    multiply_rows(s, s.left + strip * s.left_step + row * kTileDepth, sum + strip * 2 * kSumWords + row * kTileSide,
                  add);
  }
}

}  // namespace

const TileKernels kAvx512Tiles = {any_rows,
                                  nothing,
                                  multiply,
                                  pack_avx512<true>,
                                  pack_avx512<false>,
                                  round_avx512,
                                  store_avx512<float>,
                                  store_avx512<uint16_t>};

}  // namespace polyphony::ops
