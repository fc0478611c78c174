// SPDX-License-Identifier: Apache-2.0
// The gated activation and its gradient on a GPU, for T float or c10::BFloat16; computed in f32. C++17.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace polyphony::ops {

// a[r, f] = act(h[r, f]) * h[r, F + f].
template <class T>
struct GatedActivationRows {
  const T* h_R2F;
  T* a_RF;
  int64_t num_rows;  // R
  int64_t F;
  bool gelu;
};
void launch(const GatedActivationRows<float>& rows);
void launch(const GatedActivationRows<c10::BFloat16>& rows);

// With w = weight[row[r]]: dh[r] the gradient of h for w * da[r], weighted_a[r] = w * a[r], and
// dweight[row[r]] = <da[r], a[r]>. Other elements of dweight stay.
template <class T>
struct GatedActivationGradientRows {
  const T* h_R2F;
  const T* da_RF;
  const float* weight_N;  // null means 1; then row_R and dweight_N are null too
  const int64_t* row_R;
  T* dh_R2F;
  T* weighted_a_RF;  // null where not wanted
  float* dweight_N;
  int64_t num_rows;  // R
  int64_t F;
  bool gelu;
};
void launch(const GatedActivationGradientRows<float>& rows);
void launch(const GatedActivationGradientRows<c10::BFloat16>& rows);

}  // namespace polyphony::ops
