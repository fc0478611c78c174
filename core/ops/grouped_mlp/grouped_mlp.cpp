// SPDX-License-Identifier: Apache-2.0
// Two grouped products around the gated activation.
#include "core/ops/grouped_mlp/grouped_mlp.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/grouped_linear/grouped_linear.h"

namespace polyphony::ops {

at::Tensor grouped_mlp(const at::Tensor& x_RD, const DispatchPlan& plan, const at::Tensor& w13_E2FD,
                       const at::Tensor& w2_EDF, Activation activation) {
  constexpr auto where = "[grouped_mlp] ";
  check<ShapeError>(x_RD.dim() == 2 && x_RD.size(0) == plan.num_rows(), where, "x must be (", plan.num_rows(), ", D)");
  check<ShapeError>(w2_EDF.dim() == 3 && w2_EDF.size(0) == plan.num_experts && w2_EDF.size(1) == x_RD.size(1), where,
                    "w2 must be (", plan.num_experts, ", ", x_RD.size(1), ", F), got ", w2_EDF.sizes());
  check<ShapeError>(w13_E2FD.sizes() == at::IntArrayRef({plan.num_experts, 2 * w2_EDF.size(2), x_RD.size(1)}), where,
                    "w13 must be (", plan.num_experts, ", ", 2 * w2_EDF.size(2), ", ", x_RD.size(1), "), got ",
                    w13_E2FD.sizes());
  check<ShapeError>(w13_E2FD.scalar_type() == x_RD.scalar_type() && w2_EDF.scalar_type() == x_RD.scalar_type(), where,
                    "x and the banks must share a dtype");
  const at::Tensor h_R2F = grouped_linear(x_RD, plan, w13_E2FD);
  return grouped_linear(gated_activation(h_R2F, activation), plan, w2_EDF);
}

}  // namespace polyphony::ops
