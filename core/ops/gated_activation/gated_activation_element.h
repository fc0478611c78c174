// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <c10/macros/Macros.h>
#include <c10/util/BFloat16.h>

#include <cmath>
#include <cstdint>

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

// Element r * F + f of act(gate) * up.
template <class T>
struct GatedActivationElement {
  const T* h_R2F;
  T* a_RF;
  int64_t R;
  int64_t F;
  bool gelu;

  C10_HOST_DEVICE int64_t count() const { return R * F; }
  C10_HOST_DEVICE void operator()(int64_t i) const {
    const T* h = h_R2F + i / F * 2 * F + i % F;
    a_RF[i] = static_cast<T>(gate_value(static_cast<float>(h[0]), gelu).value * static_cast<float>(h[F]));
  }
};

// The same element's two gradients.
template <class T>
struct GatedActivationGradient {
  const T* h_R2F;
  const T* da_RF;
  T* dh_R2F;
  int64_t R;
  int64_t F;
  bool gelu;

  C10_HOST_DEVICE int64_t count() const { return R * F; }
  C10_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t gate = i / F * 2 * F + i % F;
    const GateValue g = gate_value(static_cast<float>(h_R2F[gate]), gelu);
    const float d = static_cast<float>(da_RF[i]);
    dh_R2F[gate] = static_cast<T>(d * static_cast<float>(h_R2F[gate + F]) * g.slope);
    dh_R2F[gate + F] = static_cast<T>(d * g.value);
  }
};

}  // namespace polyphony::ops
