// SPDX-License-Identifier: Apache-2.0
// The product of single rows with weights in few bits on a GPU, for T float or c10::BFloat16; sums in f32. C++17.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace polyphony::ops {

// y[r, o] = sum_i scale[e, o, i / group] * q[e, o, i] * x[t, i], with t = token[r] (null: r) and e = expert[r] (null:
// 0). A row of q is I bytes for 8 bits; for 4 bits I / 2, low nibble first, each value with 8 added; then the group is
// even.
template <class T>
struct QuantizedMatvec {
  const T* x_TI;
  const uint8_t* q_EOB;
  const float* scale_EOG;
  const int64_t* token_R;
  const int64_t* expert_R;
  T* y_RO;
  int64_t num_rows;  // R
  int64_t O;
  int64_t I;
  int64_t group;  // divides I
  int bits;       // 8 or 4
};
void launch(const QuantizedMatvec<float>& product);
void launch(const QuantizedMatvec<c10::BFloat16>& product);

}  // namespace polyphony::ops
