// SPDX-License-Identifier: Apache-2.0
// The sum of some rows on plain memory, in the order given: what the CPU operations call for each token.
#pragma once
#include "core/ops/row_math.h"

namespace polyphony::ops {

// out[d] = sum over i < count, ascending, of weight[slot[i]] * y[slot[i] * D + d], then + extra[d], in f32 (f64 for
// f64). Null `weight` means 1 for all, null `extra` nothing. T is float, c10::BFloat16 or double.
template <class T>
struct RowSum {
  const T* y;
  const int64_t* slot;
  int64_t count;
  const Compute<T>* weight;
  const T* extra;
  int64_t D;
};
template <class T>
void sum_rows(const RowSum<T>& in, T* out);

}  // namespace polyphony::ops
