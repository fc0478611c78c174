// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/combine_rows/combine_rows.h"

namespace polyphony::ops {

at::Tensor combine_rows_reference(const at::Tensor& y_RD, const at::Tensor& weight_N, const DispatchPlan& plan) {
  const at::Tensor weighted = y_RD.to(weight_N.scalar_type()) * weight_N.index_select(0, plan.row_R).unsqueeze(1);
  return at::zeros({plan.num_tokens, y_RD.size(1)}, weighted.options())
      .index_add(0, plan.token_R, weighted)
      .to(y_RD.scalar_type());
}

}  // namespace polyphony::ops
