// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/modulate_rows/modulate_rows.h"

namespace polyphony::ops {
namespace {

// The table's row of each token; unconditioned ones get `none`.
at::Tensor of_token(const at::Tensor& rows_CD, double none, const at::Tensor& condition_T) {
  return at::cat({at::full({1, rows_CD.size(1)}, none, rows_CD.options()), rows_CD}).index_select(0, condition_T);
}

}  // namespace

at::Tensor modulate_rows_reference(const at::Tensor& x_TD, const at::Tensor& shift_CD, const at::Tensor& scale_CD,
                                   const at::Tensor& condition_T) {
  return at::addcmul(of_token(shift_CD, 0, condition_T), x_TD, 1 + of_token(scale_CD, 0, condition_T));
}

at::Tensor gated_sum_rows_reference(const at::Tensor& x_TD, const at::Tensor& y_TD, const at::Tensor& gate_CD,
                                    const at::Tensor& condition_T) {
  return x_TD + of_token(gate_CD, 1, condition_T) * y_TD;
}

}  // namespace polyphony::ops
