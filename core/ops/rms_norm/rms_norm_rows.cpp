// SPDX-License-Identifier: Apache-2.0
// Loops that the compiler turns into vectors, cloned for the instruction sets of the machine that runs them.
#include "core/ops/rms_norm/rms_norm_rows.h"

#include <cmath>

namespace polyphony::ops {
namespace {

using Bf16 = c10::BFloat16;

template <class T>
[[gnu::always_inline]] inline Compute<T> forward_row(const T* x, const Compute<T>* weight, T* y, int64_t D,
                                                     double eps) {
  Compute<T> sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t d = 0; d < D; ++d) sum += load(x[d]) * load(x[d]);
  const Compute<T> r = 1 / std::sqrt(sum / static_cast<Compute<T>>(D) + static_cast<Compute<T>>(eps));
#pragma omp simd
  for (int64_t d = 0; d < D; ++d) store(y + d, load(x[d]) * r * weight[d]);
  return r;
}

template <class T>
[[gnu::always_inline]] inline void backward_row(const T* x, const Compute<T>* weight, const T* dy, Compute<T> r, T* dx,
                                                Compute<T>* dweight, int64_t D) {
  Compute<T> dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t d = 0; d < D; ++d) dot += load(dy[d]) * weight[d] * load(x[d]);
  const Compute<T> along = dot * r * r * r / static_cast<Compute<T>>(D);
#pragma omp simd
  for (int64_t d = 0; d < D; ++d) {
    const Compute<T> xd = load(x[d]), dyd = load(dy[d]);
    dweight[d] += dyd * xd * r;
    store(dx + d, dyd * weight[d] * r - xd * along);
  }
}

#define POLYPHONY_ROW_KERNELS(T)                                                                                     \
  [[gnu::target_clones("avx512f", "avx2", "default")]] Compute<T> forward_##T(const T* x, const Compute<T>* w, T* y, \
                                                                              int64_t D, double eps) {               \
    return forward_row(x, w, y, D, eps);                                                                             \
  }                                                                                                                  \
  [[gnu::target_clones("avx512f", "avx2", "default")]] void backward_##T(                                            \
      const T* x, const Compute<T>* w, const T* dy, Compute<T> r, T* dx, Compute<T>* dw, int64_t D) {                \
    backward_row(x, w, dy, r, dx, dw, D);                                                                            \
  }
POLYPHONY_ROW_KERNELS(float)
POLYPHONY_ROW_KERNELS(Bf16)
POLYPHONY_ROW_KERNELS(double)
#undef POLYPHONY_ROW_KERNELS

}  // namespace

#define POLYPHONY_ROW_KERNELS(T)                                                                                \
  template <>                                                                                                   \
  Compute<T> rms_norm_row(const T* x, const Compute<T>* w, T* y, int64_t D, double eps) {                       \
    return forward_##T(x, w, y, D, eps);                                                                        \
  }                                                                                                             \
  template <>                                                                                                   \
  void rms_norm_row_backward(const T* x, const Compute<T>* w, const T* dy, Compute<T> r, T* dx, Compute<T>* dw, \
                             int64_t D) {                                                                       \
    backward_##T(x, w, dy, r, dx, dw, D);                                                                       \
  }
POLYPHONY_ROW_KERNELS(float)
POLYPHONY_ROW_KERNELS(Bf16)
POLYPHONY_ROW_KERNELS(double)
#undef POLYPHONY_ROW_KERNELS

}  // namespace polyphony::ops
