// SPDX-License-Identifier: Apache-2.0
// Sixteen columns a register: numbers become f32, then products with the few rows at once, or bf16 tiles for the many.
#include <immintrin.h>

#include "core/ops/bf16_product/tiles.h"
#include "core/ops/packed_product/packed_kernels.h"

namespace polyphony::ops {
namespace {

template <bool kInt4>
inline constexpr int64_t kTileBytes = kTileWords / (kInt4 ? 2 : 1);
template <bool kInt4>
inline constexpr int64_t kStepBytes = kScaleBytes + 2 * kTileBytes<kInt4>;

// A step some way ahead in the stream, which goes on behind the pair; past its end this is only a hint.
template <bool kInt4>
inline void fetch_ahead(const uint8_t* step) {
  constexpr int64_t kAhead = 16 * 1024;
#pragma GCC unroll 17
  for (int64_t i = 0; i < kStepBytes<kInt4>; i += 64) _mm_prefetch(step + kAhead + i, _MM_HINT_T1);
}

inline __m128i row_of(const uint8_t* tile, int64_t k) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(tile + k * kTileSide));
}

// The numbers of 16 columns at place k of the depth.
template <bool kInt4>
inline __m512 numbers(const uint8_t* tile, int64_t k) {
  if constexpr (!kInt4) return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(row_of(tile, k)));
  const __m512i bytes = _mm512_cvtepu8_epi32(row_of(tile, k % kTileSide));
  const __m512 values = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
  return _mm512_permutexvar_ps(k < kTileSide ? bytes : _mm512_srli_epi32(bytes, 4), values);  // by the low four bits
}

inline __m512 scales(const uint8_t* step, int64_t side) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(step + side * kTileSide * 2));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}

template <bool kInt4>
void expand(const uint8_t* steps, int64_t count, uint16_t* tiles) {
  alignas(64) uint16_t order[kTileDepth];  // word i of the first 16, word i of the second, and so on
  for (int i = 0; i < kTileSide; ++i) {
    order[2 * i] = static_cast<uint16_t>(i);
    order[2 * i + 1] = static_cast<uint16_t>(kTileSide + i);
  }
  const __m512i pairs = _mm512_load_si512(order);
  for (int64_t step = 0; step < count; ++step, steps += kStepBytes<kInt4>) {
    fetch_ahead<kInt4>(steps);
    for (int64_t side = 0; side < 2; ++side, tiles += kTileWords) {
      const uint8_t* tile = steps + kScaleBytes + side * kTileBytes<kInt4>;
      const __m512 scale = scales(steps, side);
#pragma GCC unroll 16
      for (int64_t k = 0; k < kTileDepth; k += 2) {
        const __m512 even = _mm512_mul_ps(numbers<kInt4>(tile, k), scale);
        const __m512 odd = _mm512_mul_ps(numbers<kInt4>(tile, k + 1), scale);
        const auto words = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
        _mm512_storeu_si512(tiles + k * kTileSide, _mm512_permutexvar_epi16(pairs, words));
      }
    }
  }
}

// A chain of sums for each row and strip; a single row has two, so that one product need not wait for the last.
template <bool kInt4, int kRows>
void rows_times(const float* x, int64_t stride, const uint8_t* steps, int64_t count, float* sum) {
  constexpr int kChains = kRows == 1 ? 2 : 1;
  __m512 total[kRows][2];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) total[r][0] = total[r][1] = _mm512_setzero_ps();
  for (int64_t step = 0; step < count; ++step, steps += kStepBytes<kInt4>, x += kStepDepth) {
    fetch_ahead<kInt4>(steps);
    const uint8_t* tile = steps + kScaleBytes;
    __m512 part[kRows][2][kChains];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
      for (int side = 0; side < 2; ++side)
#pragma GCC unroll 2
        for (int c = 0; c < kChains; ++c) part[r][side][c] = _mm512_setzero_ps();
#pragma GCC unroll 32
    for (int64_t k = 0; k < kStepDepth; ++k) {
      const __m512 left = numbers<kInt4>(tile, k), right = numbers<kInt4>(tile + kTileBytes<kInt4>, k);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const __m512 value = _mm512_set1_ps(x[r * stride + k]);
        part[r][0][k % kChains] = _mm512_fmadd_ps(left, value, part[r][0][k % kChains]);
        part[r][1][k % kChains] = _mm512_fmadd_ps(right, value, part[r][1][k % kChains]);
      }
    }
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) {
      const __m512 scale = scales(steps, side);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        __m512 all = part[r][side][0];
        if constexpr (kChains == 2) all = _mm512_add_ps(all, part[r][side][1]);
        total[r][side] = _mm512_fmadd_ps(all, scale, total[r][side]);
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) _mm512_storeu_ps(sum + side * kSumWords + r * kTileSide, total[r][side]);
}

template <bool kInt4>
void few_rows(const float* x, int64_t rows, int64_t stride, const uint8_t* steps, int64_t count, float* sum) {
  switch (rows) {
    case 1:
      return rows_times<kInt4, 1>(x, stride, steps, count, sum);
    case 2:
      return rows_times<kInt4, 2>(x, stride, steps, count, sum);
    case 3:
      return rows_times<kInt4, 3>(x, stride, steps, count, sum);
    default:
      return rows_times<kInt4, 4>(x, stride, steps, count, sum);
  }
}

}  // namespace

const PackedKernels kAvx512Packed = {.int8 = {.expand = expand<false>, .few_rows = few_rows<false>},
                                     .int4 = {.expand = expand<true>, .few_rows = few_rows<true>}};

}  // namespace polyphony::ops
