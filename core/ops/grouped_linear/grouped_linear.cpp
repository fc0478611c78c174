// SPDX-License-Identifier: Apache-2.0
#include "core/ops/grouped_linear/grouped_linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/ops/dispatch_plan/saved_plan.h"
#include "core/ops/grouped_mlp/grouped_product.h"

namespace polyphony::ops {
namespace {

// y_RO: rows of expert e times w[e] (O, I) transposed.
struct GroupedProduct : torch::autograd::Function<GroupedProduct> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_RI, const at::Tensor& w_EOI,
                            const at::Tensor& offset_E1) {
    ctx->save_for_backward({x_RI, w_EOI, offset_E1});
    return grouped_product(x_RI, w_EOI.transpose(1, 2), groups_of(x_RI, w_EOI, offset_E1));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("grouped_linear");
    const auto saved = ctx->get_saved_variables();
    const at::Tensor& x_RI = saved[0];
    const at::Tensor& w_EOI = saved[1];
    const at::Tensor dy_RO = gradients[0].contiguous();
    const RowGroups groups = groups_of(x_RI, w_EOI, saved[2]);
    return {grouped_product(dy_RO, w_EOI, groups), grouped_outer_product(dy_RO, x_RI, groups), {}};
  }

  static RowGroups groups_of(const at::Tensor& x_RI, const at::Tensor& w_EOI, const at::Tensor& offset_E1) {
    return row_groups(offset_E1, multiplies_in_one_launch(x_RI, {w_EOI.size(1), w_EOI.size(2)}));
  }
};

}  // namespace

at::Tensor grouped_linear(const at::Tensor& x_RI, const DispatchPlan& plan, const at::Tensor& w_EOI) {
  constexpr auto where = "[grouped_linear] ";
  check<ShapeError>(x_RI.dim() == 2 && x_RI.size(0) == plan.num_rows(), where, "x must be (", plan.num_rows(), ", I)");
  check<ShapeError>(w_EOI.dim() == 3 && w_EOI.size(0) == plan.num_experts && w_EOI.size(2) == x_RI.size(1), where,
                    "w must be (", plan.num_experts, ", O, ", x_RI.size(1), "), got ", w_EOI.sizes());
  check<ShapeError>(w_EOI.scalar_type() == x_RI.scalar_type() && w_EOI.device() == x_RI.device(), where,
                    "x and w must share dtype and device");
  return GroupedProduct::apply(x_RI.contiguous(), w_EOI.contiguous(), plan.offset_E1);
}

}  // namespace polyphony::ops
