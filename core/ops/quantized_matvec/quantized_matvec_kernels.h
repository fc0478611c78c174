// SPDX-License-Identifier: Apache-2.0
// The product of single rows with weights in few bits on a GPU, for T float or c10::BFloat16; sums in f32. C++17.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace polyphony::ops {

// y[r, n] = sum_k scale[e, n, k / group] * number[e, n, k] * x[t, k], with t = token[r] (null: r) and e = expert[r]
// (null: 0). A row of numbers is K bytes for 8 bits; for 4 bits (K + 1) / 2, low nibble first, 8 more than the number.
template <class T>
struct QuantizedMatvec {
  const T* x_TK;
  const uint8_t* values_ENB;
  const c10::BFloat16* scales_ENG;  // G = (K + group - 1) / group
  const int64_t* token_R;
  const int64_t* expert_R;
  T* y_RN;
  int64_t num_rows;  // R
  int64_t N;
  int64_t K;
  int64_t group;  // even, or K
  int bits;       // 8 or 4
};
void launch(const QuantizedMatvec<float>& product);
void launch(const QuantizedMatvec<c10::BFloat16>& product);

}  // namespace polyphony::ops
