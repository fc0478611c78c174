// SPDX-License-Identifier: Apache-2.0
// One grouped product with its gradient; the MLP is two of them around the gated activation.
#include "core/ops/grouped_mlp/grouped_mlp.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/dispatch_plan/saved_plan.h"
#include "core/ops/grouped_mlp/grouped_product.h"

namespace polyphony::ops {
namespace {

// y_RN: rows of expert e times w[e] (N, K) transposed.
struct GroupedProduct : torch::autograd::Function<GroupedProduct> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_RK, const at::Tensor& w_ENK,
                            const at::Tensor& offset_E1) {
    ctx->save_for_backward({x_RK, w_ENK, offset_E1});
    return grouped_product(x_RK, w_ENK.transpose(1, 2), groups_of(x_RK, w_ENK, offset_E1));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("grouped_mlp");
    const auto saved = ctx->get_saved_variables();
    const at::Tensor& x_RK = saved[0];
    const at::Tensor& w_ENK = saved[1];
    const at::Tensor dy_RN = gradients[0].contiguous();
    const RowGroups groups = groups_of(x_RK, w_ENK, saved[2]);
    return {grouped_product(dy_RN, w_ENK, groups), grouped_outer_product(dy_RN, x_RK, groups), {}};
  }

  static RowGroups groups_of(const at::Tensor& x_RK, const at::Tensor& w_ENK, const at::Tensor& offset_E1) {
    return row_groups(offset_E1, multiplies_in_one_launch(x_RK, {w_ENK.size(1), w_ENK.size(2)}));
  }
};

}  // namespace

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
  const at::Tensor h_R2F = GroupedProduct::apply(x_RD.contiguous(), w13_E2FD.contiguous(), plan.offset_E1);
  return GroupedProduct::apply(gated_activation(h_R2F, activation), w2_EDF.contiguous(), plan.offset_E1);
}

}  // namespace polyphony::ops
