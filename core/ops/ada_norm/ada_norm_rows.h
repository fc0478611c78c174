// SPDX-License-Identifier: Apache-2.0
// One row of ada_norm_.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace polyphony::ops {

template <class Update, class Out>
struct AdaNormRow {
  float* x;
  const Update* update;  // null: nothing is added
  const float* gate;
  const float* shift;
  const float* scale;
  double eps;
  int64_t D;
  Out* out;
};

void ada_norm_row(const AdaNormRow<float, float>& row);
void ada_norm_row(const AdaNormRow<float, c10::BFloat16>& row);
void ada_norm_row(const AdaNormRow<c10::BFloat16, float>& row);
void ada_norm_row(const AdaNormRow<c10::BFloat16, c10::BFloat16>& row);

}  // namespace polyphony::ops
