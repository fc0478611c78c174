// SPDX-License-Identifier: Apache-2.0
// exp in loops over rows, written so that the compiler can turn the loops into vectors.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace polyphony::ops {

// exp within 2 ulp on [-87, 88], where 1 + exp still decides; libm's would keep the loop scalar.
[[gnu::always_inline]] inline float fast_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  const float shifted = x * 1.44269504f + 12582912.0f;  // rounds to the nearest integer in the low mantissa bits
  const float n = shifted - 12582912.0f;
  const float r = x - n * 0.693359375f + n * 2.12194440e-4f;  // ln 2 in two parts
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float e = p * r * r + r + 1.0f;
  const uint32_t power = std::bit_cast<uint32_t>(shifted) - 0x4B400000u + 127u;
  return e * std::bit_cast<float>(power << 23);
}
[[gnu::always_inline]] inline double fast_exp(double x) { return std::exp(x > 700.0 ? 700.0 : x); }

}  // namespace polyphony::ops
