// SPDX-License-Identifier: Apache-2.0
// Loading and storing of one value in loops over rows, written so that the compiler can turn the loops into vectors.
#pragma once
#include <c10/util/BFloat16.h>

#include <bit>
#include <cstdint>
#include <type_traits>

namespace polyphony::ops {

// In what a row of T is computed.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, double>, double, float>;

[[gnu::always_inline]] inline float load(float x) { return x; }
[[gnu::always_inline]] inline double load(double x) { return x; }
[[gnu::always_inline]] inline float load(c10::BFloat16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.x) << 16);
}

[[gnu::always_inline]] inline void store(float* out, float x) { *out = x; }
[[gnu::always_inline]] inline void store(double* out, double x) { *out = x; }
[[gnu::always_inline]] inline void store(c10::BFloat16* out, float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;  // to nearest, ties to even
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  out->x = static_cast<uint16_t>(is_nan ? 0x7FC0u : rounded);
}

}  // namespace polyphony::ops
