// SPDX-License-Identifier: Apache-2.0
// The gate of one element, for kernels.
#pragma once
#include <c10/macros/Macros.h>

#include <cmath>

namespace polyphony::ops {

// Both activations are g * sigmoid(q(g)): silu with q = g, tanh-gelu with q = 2 sqrt(2/pi) (g + 0.044715 g^3).
struct GateValue {
  float value;  // act(g)
  float slope;  // act'(g)
};

C10_HOST_DEVICE inline GateValue gate_value(float g, bool gelu) {
  constexpr float kGelu = 1.5957691216057308f;
  constexpr float kCube = 0.044715f;
  const float q = gelu ? kGelu * (g + kCube * g * g * g) : g;
  const float q_slope = gelu ? kGelu * (1 + 3 * kCube * g * g) : 1.0f;
  const float e =
      std::exp(-(q < -87.0f ? -87.0f : q));  // finite, so that e * s, which is 1 - s with all its digits, is
  const float s = 1 / (1 + e);
  return {g * s, s + g * s * (e * s) * q_slope};
}

}  // namespace polyphony::ops
