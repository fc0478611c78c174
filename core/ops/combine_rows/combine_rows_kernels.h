// SPDX-License-Identifier: Apache-2.0
// The sum of a token's rows and its gradient on a GPU, for T float or c10::BFloat16; sums in f32. C++17.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace polyphony::ops {

// out[t] = sum over s in [token_offset[t], token_offset[t + 1]) of weight[slot[s]] * y[slot[s]], in that order, then
// + extra[t].
template <class T>
struct SumRows {
  const T* y_RD;
  const float* weight_R;  // null means 1
  const int64_t* token_offset_T1;
  const int64_t* slot_R;
  const T* extra_TD;  // null means 0
  T* out_TD;
  int64_t num_tokens;
  int64_t D;
};
void launch(const SumRows<float>& sum);
void launch(const SumRows<c10::BFloat16>& sum);

// dy[r] = weight[row[r]] * d[token[r]]; dweight[row[r]] = <d[token[r]], y[r]>. Other elements of dweight stay.
template <class T>
struct CombineGradient {
  const T* dout_TD;
  const T* y_RD;
  const float* weight_N;
  const int64_t* row_R;
  const int64_t* token_R;
  T* dy_RD;
  float* dweight_N;
  int64_t num_rows;  // R
  int64_t D;
};
void launch(const CombineGradient<float>& gradient);
void launch(const CombineGradient<c10::BFloat16>& gradient);

}  // namespace polyphony::ops
