// SPDX-License-Identifier: Apache-2.0
// Compiled without contraction of products and sums (core/CMakeLists.txt): where they are fused decides the last bit,
// and so it is written out, as LibTorch's passes fuse them.
#include "core/ops/adamw/adamw_cpu.h"

#include <cmath>

namespace polyphony::ops {
namespace {

// a + weight * (b - a), from the nearer end.
[[gnu::always_inline]] inline float between(float a, float b, float weight, bool near) {
  return near ? __builtin_fmaf(weight, b - a, a) : __builtin_fmaf(weight - 1, b - a, b);
}

// kWhole: a run of whole lanes; otherwise the last values, whose squares LibTorch adds the other way round. The numbers
// come by value, since stores of f32 might change them elsewhere.
template <bool kWhole>
[[gnu::always_inline]] inline void run(const AdamwValues v, const AdamwNumbers n, int64_t begin, int64_t end) {
  const bool first_near = n.first_rate < 0.5f, average_near = n.average_weight < 0.5f;
  if (v.gradient != nullptr) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float g = v.gradient[i] * n.gradient_scale;
      const float first = between(v.first[i], g, n.first_rate, first_near);
      const float scaled = n.second_rate * g;
      const float second =
          kWhole ? __builtin_fmaf(scaled, g, v.second[i] * n.beta2) : __builtin_fmaf(v.second[i], n.beta2, scaled * g);
      v.first[i] = first;
      v.second[i] = second;
      v.weight[i] = v.weight[i] * n.decay - n.step_size * first / (std::sqrt(second) / n.second_divisor + n.eps);
    }
  }
  if (v.average != nullptr) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i)
      v.average[i] = between(v.average[i], v.weight[i], n.average_weight, average_near);
  }
  if (v.copy != nullptr) v.round(v.weight + begin, end - begin, v.copy + begin);
}

constexpr int64_t kPanel = 1024;  // values that stay in a level-1 cache between the loops

}  // namespace

[[gnu::target_clones("avx512f", "arch=haswell", "default")]] void adamw_values(const AdamwValues& v,
                                                                               const AdamwNumbers& n) {
  const int64_t whole = v.count / kAdamwLane * kAdamwLane;
  for (int64_t first = 0; first < whole; first += kPanel)
    run<true>(v, n, first, whole < first + kPanel ? whole : first + kPanel);
  run<false>(v, n, whole, v.count);
}

}  // namespace polyphony::ops
