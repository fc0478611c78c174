// SPDX-License-Identifier: Apache-2.0
// Loops that the compiler turns into vectors, cloned for the instruction sets of the machine that runs them.
#include "core/ops/ada_norm/ada_norm_rows.h"

#include <algorithm>
#include <cmath>

#include "core/ops/row_math.h"

namespace polyphony::ops {
namespace {

using Bf16 = c10::BFloat16;

constexpr int64_t kPanel = 256;  // values that are converted in one loop and computed with in another

template <class Update, class Out>
[[gnu::always_inline]] inline void norm_row(const AdaNormRow<Update, Out>& row) {
  float panel[kPanel];
  float sum = 0;
  for (int64_t first = 0; first < row.D; first += kPanel) {
    const int64_t count = std::min(kPanel, row.D - first);
    float* x = row.x + first;
    if (row.update != nullptr) {
#pragma omp simd
      for (int64_t d = 0; d < count; ++d) panel[d] = load(row.update[first + d]);
#pragma omp simd
      for (int64_t d = 0; d < count; ++d) x[d] += row.gate[first + d] * panel[d];
    }
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < count; ++d) sum += x[d];
  }
  const float mean = sum / static_cast<float>(row.D);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t d = 0; d < row.D; ++d) squares += (row.x[d] - mean) * (row.x[d] - mean);
  const float r = 1 / std::sqrt(squares / static_cast<float>(row.D) + static_cast<float>(row.eps));
  for (int64_t first = 0; first < row.D; first += kPanel) {
    const int64_t count = std::min(kPanel, row.D - first);
#pragma omp simd
    for (int64_t d = 0; d < count; ++d)
      panel[d] = (row.x[first + d] - mean) * r * (1 + row.scale[first + d]) + row.shift[first + d];
#pragma omp simd
    for (int64_t d = 0; d < count; ++d) store(row.out + first + d, panel[d]);
  }
}

}  // namespace

#define POLYPHONY_ROW_KERNEL(Update, Out)                                                                      \
  [[gnu::target_clones("avx512f", "avx2", "default")]] void ada_norm_row(const AdaNormRow<Update, Out>& row) { \
    norm_row(row);                                                                                             \
  }
POLYPHONY_ROW_KERNEL(float, float)
POLYPHONY_ROW_KERNEL(float, Bf16)
POLYPHONY_ROW_KERNEL(Bf16, float)
POLYPHONY_ROW_KERNEL(Bf16, Bf16)
#undef POLYPHONY_ROW_KERNEL

}  // namespace polyphony::ops
