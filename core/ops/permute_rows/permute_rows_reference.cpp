// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/permute_rows/permute_rows.h"

namespace polyphony::ops {

at::Tensor permute_rows_reference(const at::Tensor& x_TD, const DispatchPlan& plan) {
  return x_TD.index_select(0, plan.token_R);
}

}  // namespace polyphony::ops
