// SPDX-License-Identifier: Apache-2.0
// The gather of rows on a GPU. C++17, so that nvcc can read it.
#pragma once
#include <cstdint>

namespace polyphony::ops {

// out row r becomes x row token[r]; whatever the rows hold, they are bytes here.
struct GatherRows {
  const void* x_TD;
  const int64_t* token_R;
  void* out_RD;
  int64_t num_rows;   // R
  int64_t row_bytes;  // even
};
void launch(const GatherRows& gather);

}  // namespace polyphony::ops
