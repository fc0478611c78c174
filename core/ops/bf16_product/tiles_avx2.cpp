// SPDX-License-Identifier: Apache-2.0
// Pairs of bf16 are widened to f32 in registers: 16 columns are four registers of eight.
#include <immintrin.h>

#include "core/ops/bf16_product/tile_moves.h"

namespace polyphony::ops {
namespace {

__m256 low_of_pairs(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
__m256 high_of_pairs(__m256i pairs) {
  return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xFFFF0000u))));
}

// Four rows of one sum tile over the whole depth.
void multiply_rows(const uint16_t* left, const uint16_t* right, int64_t right_stride, int64_t depth, float* sum) {
  __m256 rows[4][2];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) rows[r][half] = _mm256_loadu_ps(sum + r * kTileSide + half * 8);
  for (int64_t t = 0; t < depth; ++t, left += kTileWords, right += right_stride)
    for (int64_t k = 0; k < kTileDepth; k += 2)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const auto* at = reinterpret_cast<const __m256i*>(right + (k / 2 * kTileSide + half * 8) * 2);
        const __m256i pairs = _mm256_loadu_si256(at);
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
          int32_t pair = 0;
          __builtin_memcpy(&pair, left + r * kTileDepth + k, sizeof pair);
          const __m256i wanted = _mm256_set1_epi32(pair);
          rows[r][half] = _mm256_fmadd_ps(low_of_pairs(wanted), low_of_pairs(pairs), rows[r][half]);
          rows[r][half] = _mm256_fmadd_ps(high_of_pairs(wanted), high_of_pairs(pairs), rows[r][half]);
        }
      }
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) _mm256_storeu_ps(sum + r * kTileSide + half * 8, rows[r][half]);
}

void multiply(const StripPairs& s, float* sum, bool add) {
  if (!add) clear_sums(sum);
  for (int64_t pair = 0; pair < 4; ++pair)
    for (int64_t row = 0; row < rows_of(s, pair / 2); row += 4)
      multiply_rows(s.left + pair / 2 * s.left_step + row * kTileDepth, s.right + pair % 2 * s.right_step,
                    s.right_stride, s.depth, sum + pair * kSumWords + row * kTileSide);
}

}  // namespace

const TileKernels kAvx2Tiles = {any_rows,          nothing,     multiply,           pack_plain<true>,
                                pack_plain<false>, round_plain, store_plain<float>, store_plain<uint16_t>};

}  // namespace polyphony::ops
