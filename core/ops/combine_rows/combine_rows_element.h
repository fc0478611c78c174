// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <c10/macros/Macros.h>
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace polyphony::ops {

// Element t * D + d of the sums: the rows of token t in the order of slot_R, in f32, as the CPU sums them.
template <class T>
struct CombineRowsElement {
  const T* y_RD;
  const float* weight_R;  // null means 1
  const int64_t* token_offset_T1;
  const int64_t* slot_R;
  T* out_TD;
  int64_t num_tokens;
  int64_t D;

  C10_HOST_DEVICE int64_t count() const { return num_tokens * D; }
  C10_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t t = i / D;
    float sum = 0;
    for (int64_t s = token_offset_T1[t]; s < token_offset_T1[t + 1]; ++s) {
      const int64_t r = slot_R[s];
      const float y = static_cast<float>(y_RD[r * D + i % D]);
      sum += weight_R == nullptr ? y : weight_R[r] * y;
    }
    out_TD[i] = static_cast<T>(sum);
  }
};

}  // namespace polyphony::ops
