// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <c10/macros/Macros.h>
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace polyphony::ops {

// Element r * D + d of the gathered rows.
template <class T>
struct PermuteRowsElement {
  const T* x_TD;
  const int64_t* token_R;
  T* out_RD;
  int64_t R;
  int64_t D;

  C10_HOST_DEVICE int64_t count() const { return R * D; }
  C10_HOST_DEVICE void operator()(int64_t i) const { out_RD[i] = x_TD[token_R[i / D] * D + i % D]; }
};

}  // namespace polyphony::ops
