// SPDX-License-Identifier: Apache-2.0
#include "core/ops/permute_rows/permute_rows.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/combine_rows/row_moves.h"
#include "core/ops/dispatch_plan/saved_plan.h"

namespace polyphony::ops {
namespace {

struct PermuteRows : torch::autograd::Function<PermuteRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_TD, const DispatchPlan& plan) {
    save_with_plan(ctx, {}, plan);
    return gather_rows(x_TD, plan);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("permute_rows");
    return {sum_rows_of_tokens(gradients[0].contiguous(), {}, load_with_plan(ctx).plan), {}};
  }
};

}  // namespace

at::Tensor permute_rows(const at::Tensor& x_TD, const DispatchPlan& plan) {
  constexpr auto where = "[permute_rows] ";
  check<ShapeError>(x_TD.defined() && x_TD.dim() == 2 && x_TD.size(0) == plan.num_tokens, where, "x must be (",
                    plan.num_tokens, ", D)");
  const auto dtype = x_TD.scalar_type();
  check<ShapeError>(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble, where,
                    "x must be f32, bf16 or f64, got ", dtype);
  check<ShapeError>(plan.token_R.device() == x_TD.device(), where, "the plan and x are on different devices");
  return PermuteRows::apply(x_TD.contiguous(), plan);
}

}  // namespace polyphony::ops
