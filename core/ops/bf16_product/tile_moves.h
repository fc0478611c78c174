// SPDX-License-Identifier: Apache-2.0
// Packing and storing in plain C++, for the levels without wide vectors. Each file that includes it compiles it for its
// own instructions: all is of internal linkage, and no header's templates are used, whose copies the linker would
// merge.
#pragma once
#include "core/ops/bf16_product/tiles.h"

namespace polyphony::ops {
namespace {

inline float widened(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }

inline float load_value(const float* from) { return *from; }
inline float load_value(const uint16_t* from) { return widened(*from); }
inline void store_value(float* out, float x) { *out = x; }
inline void store_value(uint16_t* out, float x) {  // to nearest, ties to even
  const auto bits = __builtin_bit_cast(uint32_t, x);
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  *out = static_cast<uint16_t>(is_nan ? 0x7FC0u : (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

inline uint16_t value_of(const Vectors& v, int64_t i, int64_t k) {
  if (i >= v.count || k >= v.depth) return 0;
  const int64_t number = v.depth_contiguous ? i * v.stride + k : k * v.stride + i;
  if (!v.f32) return static_cast<const uint16_t*>(v.data)[number];
  uint16_t bits = 0;
  store_value(&bits, static_cast<const float*>(v.data)[number]);
  return bits;
}

template <bool kLeft>
void pack_plain(const Vectors& from, uint16_t* strips) {
  for (int64_t first = 0; first < from.count; first += kTileSide)
    for (int64_t k0 = 0; k0 < from.depth; k0 += kTileDepth, strips += kTileWords)
      for (int64_t i = 0; i < kTileSide; ++i)
        for (int64_t k = 0; k < kTileDepth; ++k)
          strips[kLeft ? i * kTileDepth + k : (k / 2 * kTileSide + i) * 2 + k % 2] = value_of(from, first + i, k0 + k);
}

inline void round_plain(const float* from, int64_t count, uint16_t* to) {
  for (int64_t i = 0; i < count; ++i) store_value(to + i, from[i]);
}

// Rows that count of a left strip.
inline int64_t rows_of(const StripPairs& s, int64_t strip) {
  const int64_t rows = s.rows - strip * kTileSide;
  return rows < kTileSide ? rows : kTileSide;
}

inline void clear_sums(float* sum) {
  for (int64_t i = 0; i < 4 * kSumWords; ++i) sum[i] = 0;
}

template <class Out>
void store_plain(const float* sum, const Place<Out>& place) {
  for (int64_t r = 0; r < place.rows; ++r)
    for (int64_t c = 0; c < place.columns; ++c) {
      const int64_t left = place.transposed ? c : r, right = place.transposed ? r : c;
      const int64_t tile = left / kTileSide * 2 + right / kTileSide;
      const float value = sum[tile * kSumWords + left % kTileSide * kTileSide + right % kTileSide];
      Out* out = place.out + r * place.stride + c;
      store_value(out, place.add ? load_value(out) + value : value);
    }
}

inline void any_rows(int64_t) {}
inline void nothing() {}

}  // namespace
}  // namespace polyphony::ops
