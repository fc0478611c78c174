// SPDX-License-Identifier: Apache-2.0
#include "core/ops/combine_rows/combine_rows.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/combine_rows/row_moves.h"
#include "core/ops/combine_rows/row_moves_cuda.h"
#include "core/ops/dispatch_plan/saved_plan.h"

namespace polyphony::ops {
namespace {

struct CombineRows : torch::autograd::Function<CombineRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& y_RD, const at::Tensor& weight_N,
                            const DispatchPlan& plan) {
    save_with_plan(ctx, {y_RD, weight_N}, plan);
    return sum_rows_of_tokens(y_RD, weight_N.index_select(0, plan.row_R), plan);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("combine_rows");
    const SavedWithPlan saved = load_with_plan(ctx);
    const at::Tensor& y_RD = saved.tensors[0];
    const at::Tensor& weight_N = saved.tensors[1];
    if (!y_RD.is_cpu()) {
      const auto [dy, dweight] = combine_gradients_cuda(gradients[0].contiguous(), y_RD, weight_N, saved.plan);
      return {dy, dweight, {}};
    }
    const at::Tensor dy_RD = gather_rows(gradients[0].contiguous(), saved.plan).to(weight_N.scalar_type());
    const at::Tensor dweight_R = (dy_RD * y_RD).sum(1);
    const at::Tensor weight_R = weight_N.index_select(0, saved.plan.row_R);
    return {(dy_RD * weight_R.unsqueeze(1)).to(y_RD.scalar_type()),
            at::zeros_like(weight_N).index_copy_(0, saved.plan.row_R, dweight_R),
            {}};
  }
};

}  // namespace

at::Tensor combine_rows(const at::Tensor& y_RD, const at::Tensor& weight_N, const DispatchPlan& plan) {
  constexpr auto where = "[combine_rows] ";
  check<ShapeError>(y_RD.defined() && y_RD.dim() == 2 && y_RD.size(0) == plan.num_rows(), where, "y must be (",
                    plan.num_rows(), ", D)");
  const auto dtype = y_RD.scalar_type();
  check<ShapeError>(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble, where,
                    "y must be f32, bf16 or f64, got ", dtype);
  const auto weight_dtype = dtype == at::kDouble ? at::kDouble : at::kFloat;
  check<ShapeError>(weight_N.defined() && weight_N.dim() == 1 && weight_N.size(0) == plan.num_routing_rows &&
                        weight_N.scalar_type() == weight_dtype,
                    where, "weight must be ", weight_dtype, " (", plan.num_routing_rows, ")");
  check<ShapeError>(plan.token_R.device() == y_RD.device() && weight_N.device() == y_RD.device(), where,
                    "plan, weight and y are on different devices");
  return CombineRows::apply(y_RD.contiguous(), weight_N.contiguous(), plan);
}

}  // namespace polyphony::ops
