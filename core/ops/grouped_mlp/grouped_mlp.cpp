// SPDX-License-Identifier: Apache-2.0
// One grouped product, written once with its gradient; the MLP is two of them around the gated activation.
#include "core/ops/grouped_mlp/grouped_mlp.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/dispatch_plan/saved_plan.h"

namespace polyphony::ops {
namespace {

// Calls body(expert, first row, number of rows) for each expert.
template <class Body>
void for_each_expert(const at::Tensor& offset_E1, const Body& body) {
  const at::Tensor host = offset_E1.cpu();
  const int64_t* offset = host.const_data_ptr<int64_t>();
  for (int64_t e = 0; e + 1 < host.size(0); ++e) body(e, offset[e], offset[e + 1] - offset[e]);
}

// y_RN: rows of expert e times w[e] (N, K) transposed.
struct GroupedProduct : torch::autograd::Function<GroupedProduct> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_RK, const at::Tensor& w_ENK,
                            const at::Tensor& offset_E1) {
    ctx->save_for_backward({x_RK, w_ENK, offset_E1});
    at::Tensor y_RN = at::empty({x_RK.size(0), w_ENK.size(1)}, x_RK.options());
    for_each_expert(offset_E1, [&](int64_t e, int64_t first, int64_t count) {
      at::Tensor y = y_RN.narrow(0, first, count);
      if (count > 0) at::mm_out(y, x_RK.narrow(0, first, count), w_ENK.select(0, e).t());
    });
    return y_RN;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("grouped_mlp");
    const auto saved = ctx->get_saved_variables();
    const at::Tensor& x_RK = saved[0];
    const at::Tensor& w_ENK = saved[1];
    const at::Tensor dy_RN = gradients[0].contiguous();
    const at::Tensor dx_RK = at::empty_like(x_RK);
    const at::Tensor dw_ENK = at::zeros_like(w_ENK);
    for_each_expert(saved[2], [&](int64_t e, int64_t first, int64_t count) {
      if (count == 0) return;
      const at::Tensor dy = dy_RN.narrow(0, first, count);
      at::Tensor dx = dx_RK.narrow(0, first, count);
      at::Tensor dw = dw_ENK.select(0, e);
      at::mm_out(dx, dy, w_ENK.select(0, e));
      at::mm_out(dw, dy.t(), x_RK.narrow(0, first, count));
    });
    return {dx_RK, dw_ENK, {}};
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
