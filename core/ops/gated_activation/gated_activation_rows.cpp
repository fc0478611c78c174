// SPDX-License-Identifier: Apache-2.0
// Loops that the compiler turns into vectors, cloned for the instruction sets of the machine that runs them.
#include "core/ops/gated_activation/gated_activation_rows.h"

#include <algorithm>

#include "core/ops/fast_exp.h"

namespace polyphony::ops {
namespace {

using Bf16 = c10::BFloat16;

// 1 - s is e * s below, which keeps its digits where s is near 1.
// Both activations are g * sigmoid(q(g)): silu with q = g, tanh-gelu with q = 2 sqrt(2/pi) (g + 0.044715 g^3).
constexpr double kGelu = 1.5957691216057308;
constexpr double kGeluCube = 0.044715;

template <Activation A, class C>
[[gnu::always_inline]] inline C argument(C g) {
  if constexpr (A == Activation::silu) return g;
  return static_cast<C>(kGelu) * (g + static_cast<C>(kGeluCube) * g * g * g);
}

template <Activation A, class C>
[[gnu::always_inline]] inline C argument_slope(C g) {
  if constexpr (A == Activation::silu) return 1;
  return static_cast<C>(kGelu) * (1 + static_cast<C>(3 * kGeluCube) * g * g);
}

template <Activation A, class C>
[[gnu::always_inline]] inline void forward_values(const C* gate, const C* up, C* a, int64_t count) {
#pragma omp simd
  for (int64_t f = 0; f < count; ++f) a[f] = gate[f] / (1 + fast_exp(-argument<A>(gate[f]))) * up[f];
}

// Writes over gate, up and d: they become the gradients of gate and up, and weight * a.
template <Activation A, class C>
[[gnu::always_inline]] inline C backward_values(C* gate, C* up, C* d, C weight, int64_t count) {
  C dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t f = 0; f < count; ++f) {
    const C g = gate[f];
    const C u = up[f];
    const C weighted = weight * d[f];
    const C e = fast_exp(-argument<A>(g));
    const C s = 1 / (1 + e);
    dot += d[f] * (g * s * u);
    gate[f] = weighted * u * (s + g * s * (e * s) * argument_slope<A>(g));
    up[f] = weighted * g * s;
    d[f] = weight * (g * s * u);
  }
  return dot;
}

template <class From, class To>
[[gnu::always_inline]] inline void convert(const From* from, To* to, int64_t count) {
#pragma omp simd
  for (int64_t f = 0; f < count; ++f) store(to + f, load(from[f]));
}

// Rows are computed by panels: bf16 becomes f32 in one loop and f32 is computed in another, which the compiler turns
// into vectors where it does not manage both at once.
constexpr int64_t kPanel = 256;

template <Activation A, class T>
[[gnu::always_inline]] inline void forward_row(const T* h, T* a, int64_t F) {
  Compute<T> gate[kPanel], up[kPanel], out[kPanel];
  for (int64_t first = 0; first < F; first += kPanel) {
    const int64_t count = std::min(kPanel, F - first);
    convert(h + first, gate, count);
    convert(h + F + first, up, count);
    forward_values<A>(gate, up, out, count);
    convert(out, a + first, count);
  }
}

template <Activation A, class T>
[[gnu::always_inline]] inline Compute<T> backward_row(const T* h, const T* da, Compute<T> weight, T* dh, T* weighted_a,
                                                      int64_t F) {
  Compute<T> gate[kPanel], up[kPanel], d[kPanel];
  Compute<T> dot = 0;
  for (int64_t first = 0; first < F; first += kPanel) {
    const int64_t count = std::min(kPanel, F - first);
    convert(h + first, gate, count);
    convert(h + F + first, up, count);
    convert(da + first, d, count);
    dot += backward_values<A>(gate, up, d, weight, count);
    convert(gate, dh + first, count);
    convert(up, dh + F + first, count);
    convert(d, weighted_a + first, count);
  }
  return dot;
}

#define POLYPHONY_ROW_KERNELS(T, A)                                                                          \
  [[gnu::target_clones("avx512f", "avx2", "default")]] void forward_##T##_##A(const T* h, T* a, int64_t F) { \
    forward_row<Activation::A>(h, a, F);                                                                     \
  }                                                                                                          \
  [[gnu::target_clones("avx512f", "avx2", "default")]] Compute<T> backward_##T##_##A(                        \
      const T* h, const T* da, Compute<T> weight, T* dh, T* weighted_a, int64_t F) {                         \
    return backward_row<Activation::A>(h, da, weight, dh, weighted_a, F);                                    \
  }
POLYPHONY_ROW_KERNELS(float, silu)
POLYPHONY_ROW_KERNELS(float, gelu)
POLYPHONY_ROW_KERNELS(Bf16, silu)
POLYPHONY_ROW_KERNELS(Bf16, gelu)
POLYPHONY_ROW_KERNELS(double, silu)
POLYPHONY_ROW_KERNELS(double, gelu)
#undef POLYPHONY_ROW_KERNELS

}  // namespace

template <>
void gated_activation_row(const float* h, float* a, int64_t F, Activation activation) {
  (activation == Activation::silu ? forward_float_silu : forward_float_gelu)(h, a, F);
}
template <>
void gated_activation_row(const Bf16* h, Bf16* a, int64_t F, Activation activation) {
  (activation == Activation::silu ? forward_Bf16_silu : forward_Bf16_gelu)(h, a, F);
}
template <>
void gated_activation_row(const double* h, double* a, int64_t F, Activation activation) {
  (activation == Activation::silu ? forward_double_silu : forward_double_gelu)(h, a, F);
}

template <>
float gated_activation_row_backward(const float* h, const float* da, float weight, float* dh, float* weighted_a,
                                    int64_t F, Activation activation) {
  return (activation == Activation::silu ? backward_float_silu : backward_float_gelu)(h, da, weight, dh, weighted_a, F);
}
template <>
float gated_activation_row_backward(const Bf16* h, const Bf16* da, float weight, Bf16* dh, Bf16* weighted_a, int64_t F,
                                    Activation activation) {
  return (activation == Activation::silu ? backward_Bf16_silu : backward_Bf16_gelu)(h, da, weight, dh, weighted_a, F);
}
template <>
double gated_activation_row_backward(const double* h, const double* da, double weight, double* dh, double* weighted_a,
                                     int64_t F, Activation activation) {
  return (activation == Activation::silu ? backward_double_silu : backward_double_gelu)(h, da, weight, dh, weighted_a,
                                                                                        F);
}

}  // namespace polyphony::ops
