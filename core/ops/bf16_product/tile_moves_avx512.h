// SPDX-License-Identifier: Apache-2.0
// Packing and storing with 512-bit vectors. A pair along the depth is one 32-bit lane, so a tile is 16 x 16 lanes and
// all that packing needs is a copy, a transposition of lanes, and the interleaving of two rows to pairs.
#pragma once
#include <immintrin.h>

#include "core/ops/bf16_product/tiles.h"

namespace polyphony::ops {
namespace {

inline __mmask32 first_words(int64_t count) {
  return static_cast<__mmask32>(count >= kTileDepth ? 0xFFFFFFFF : (1u << count) - 1);
}

// Lane j of row[i] becomes lane i of row[j].
inline void transpose(__m512i row[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    row[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    row[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    row[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    row[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0xDD);
    t[i + 8] = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0xDD);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    row[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    row[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
    row[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    row[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
  }
}

// 32 values as bf16; those that the mask leaves out are 0.
inline __m512i load_values(const uint16_t* from, __mmask32 there) { return _mm512_maskz_loadu_epi16(there, from); }
inline __m512i load_values(const float* from, __mmask32 there) {
  const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there), from);
  const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there >> kTileSide), from + kTileSide);
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// Vectors contiguous along the depth, row after row as memory has them: their left tiles.
template <class Value>
void copy_vectors(const Vectors& from, int64_t first, uint16_t* strip) {
  const int64_t rows = from.count - first;
  const int64_t whole = from.depth / kTileDepth, tiles = tiles_of(from.depth, kTileDepth);
  for (int64_t i = 0; i < kTileSide; ++i) {
    uint16_t* to = strip + i * kTileDepth;
    if (i >= rows) {
      for (int64_t t = 0; t < tiles; ++t) _mm512_storeu_si512(to + t * kTileWords, _mm512_setzero_si512());
      continue;
    }
    const Value* row = static_cast<const Value*>(from.data) + (first + i) * from.stride;
    for (int64_t t = 0; t < whole; ++t)
      _mm512_storeu_si512(to + t * kTileWords, load_values(row + t * kTileDepth, 0xFFFFFFFF));
    if (whole < tiles)
      _mm512_storeu_si512(to + whole * kTileWords,
                          load_values(row + whole * kTileDepth, first_words(from.depth - whole * kTileDepth)));
  }
}

inline void load_tile(const uint16_t* tile, __m512i row[16]) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) row[i] = _mm512_loadu_si512(tile + i * kTileDepth);
}
inline void store_tile(const __m512i row[16], uint16_t* tile) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(tile + i * kTileDepth, row[i]);
}

// The other side's tiles of the same vectors, in place.
inline void transpose_tiles(uint16_t* strip, int64_t tiles) {
  for (int64_t t = 0; t < tiles; ++t, strip += kTileWords) {
    __m512i row[16];
    load_tile(strip, row);
    transpose(row);
    store_tile(row, strip);
  }
}

// Vectors side by side, a row of memory for each place of the depth: their right tiles. Two strips at once, so that
// each cache line is read once.
template <class Value>
void interleave_vectors(const Vectors& from, uint16_t* strips) {
  const int64_t tiles = tiles_of(from.depth, kTileDepth);
  const int64_t strip = tiles * kTileWords;
  alignas(64) uint16_t order[kTileDepth];  // word i of the first row, word i of the second, and so on
  for (int i = 0; i < kTileSide; ++i) {
    order[2 * i] = static_cast<uint16_t>(i);
    order[2 * i + 1] = static_cast<uint16_t>(kTileDepth + i);
  }
  const __m512i first_half = _mm512_load_si512(order);
  const __m512i second_half = _mm512_add_epi16(first_half, _mm512_set1_epi16(kTileSide));
  for (int64_t t = 0; t < tiles; ++t)
    for (int64_t first = 0; first < from.count; first += 2 * kTileSide) {
      const __mmask32 columns = first_words(from.count - first);
      const bool two = from.count - first > kTileSide;
      uint16_t* to = strips + first / kTileSide * strip + t * kTileWords;
      for (int64_t k = t * kTileDepth; k < (t + 1) * kTileDepth; k += 2, to += kTileDepth) {
        const Value* row = static_cast<const Value*>(from.data) + k * from.stride + first;
        const __m512i even = load_values(row, k < from.depth ? columns : 0);
        const __m512i odd = load_values(row + from.stride, k + 1 < from.depth ? columns : 0);
        _mm512_storeu_si512(to, _mm512_permutex2var_epi16(even, first_half, odd));
        if (two) _mm512_storeu_si512(to + strip, _mm512_permutex2var_epi16(even, second_half, odd));
      }
    }
}

template <bool kLeft, class Value>
void pack_values(const Vectors& from, uint16_t* strips) {
  const int64_t tiles = tiles_of(from.depth, kTileDepth);
  if (!from.depth_contiguous) interleave_vectors<Value>(from, strips);
  for (int64_t first = 0; first < from.count; first += kTileSide, strips += tiles * kTileWords) {
    if (from.depth_contiguous) copy_vectors<Value>(from, first, strips);
    if (kLeft != from.depth_contiguous) transpose_tiles(strips, tiles);
  }
}

template <bool kLeft>
void pack_avx512(const Vectors& from, uint16_t* strips) {
  from.f32 ? pack_values<kLeft, float>(from, strips) : pack_values<kLeft, uint16_t>(from, strips);
}

inline void round_avx512(const float* from, int64_t count, uint16_t* to) {
  for (int64_t i = 0; i < count; i += kTileDepth) {
    const __mmask32 there = first_words(count - i);
    _mm512_mask_storeu_epi16(to + i, there, load_values(from + i, there));
  }
}

inline __m512 load_half(const float* from, __mmask16 columns) { return _mm512_maskz_loadu_ps(columns, from); }
inline __m512 load_half(const uint16_t* from, __mmask16 columns) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(columns, from)), 16));
}

inline void store_row(float* out, __m512 low, __m512 high, __mmask32 columns) {
  _mm512_mask_storeu_ps(out, static_cast<__mmask16>(columns), low);
  _mm512_mask_storeu_ps(out + kTileSide, static_cast<__mmask16>(columns >> kTileSide), high);
}
inline void store_row(uint16_t* out, __m512 low, __m512 high, __mmask32 columns) {
  _mm512_mask_storeu_epi16(out, columns, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
}

// Two tiles side by side at a time: rows of whole cache lines.
template <class Out>
void store_avx512(const float* sum, const Place<Out>& place) {
  const __mmask32 columns = first_words(place.columns);
  for (int64_t first = 0; first < place.rows; first += kTileSide) {
    const int64_t half = first / kTileSide;
    const float* low = sum + (place.transposed ? half : 2 * half) * kSumWords;
    const float* high = low + (place.transposed ? 2 : 1) * kSumWords;
    __m512i left[16], right[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) left[i] = _mm512_loadu_si512(low + i * kTileSide);
    if (place.transposed) transpose(left);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) right[i] = _mm512_loadu_si512(high + i * kTileSide);
    if (place.transposed) transpose(right);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i)
      if (first + i < place.rows) {
        Out* out = place.out + (first + i) * place.stride;
        __m512 low_half = _mm512_castsi512_ps(left[i]), high_half = _mm512_castsi512_ps(right[i]);
        if (place.add) {
          low_half = _mm512_add_ps(low_half, load_half(out, static_cast<__mmask16>(columns)));
          high_half =
              _mm512_add_ps(high_half, load_half(out + kTileSide, static_cast<__mmask16>(columns >> kTileSide)));
        }
        store_row(out, low_half, high_half, columns);
      }
  }
}

}  // namespace
}  // namespace polyphony::ops
