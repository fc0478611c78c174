// SPDX-License-Identifier: Apache-2.0
// Panels of columns are summed in registers and cache, so that no scratch memory is needed.
#include "core/ops/combine_rows/combine_rows_sum.h"

#include <algorithm>

namespace polyphony::ops {
namespace {

constexpr int64_t kPanel = 128;

template <class T>
[[gnu::always_inline]] inline void sum_panel(const RowSum<T>& in, int64_t first, int64_t width, T* out) {
  Compute<T> sum[kPanel] = {};
  for (int64_t i = 0; i < in.count; ++i) {
    const T* y = in.y + in.slot[i] * in.D + first;
    const Compute<T> weight = in.weight ? in.weight[in.slot[i]] : Compute<T>(1);
#pragma omp simd
    for (int64_t d = 0; d < width; ++d) sum[d] += weight * load(y[d]);
  }
  if (in.extra) {
#pragma omp simd
    for (int64_t d = 0; d < width; ++d) sum[d] += load(in.extra[first + d]);
  }
#pragma omp simd
  for (int64_t d = 0; d < width; ++d) store(out + first + d, sum[d]);
}

template <class T>
[[gnu::always_inline]] inline void sum_panels(const RowSum<T>& in, T* out) {
  for (int64_t first = 0; first < in.D; first += kPanel) sum_panel(in, first, std::min(kPanel, in.D - first), out);
}

}  // namespace

template <>
[[gnu::target_clones("avx512f", "avx2", "default")]] void sum_rows(const RowSum<float>& in, float* out) {
  sum_panels(in, out);
}
template <>
[[gnu::target_clones("avx512f", "avx2", "default")]] void sum_rows(const RowSum<c10::BFloat16>& in,
                                                                   c10::BFloat16* out) {
  sum_panels(in, out);
}
template <>
[[gnu::target_clones("avx512f", "avx2", "default")]] void sum_rows(const RowSum<double>& in, double* out) {
  sum_panels(in, out);
}

}  // namespace polyphony::ops
