// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/moe_experts/moe_experts.h"

namespace polyphony::ops {
namespace {

at::Tensor gated_mlp(const at::Tensor& x_RD, const at::Tensor& w13_2FD, const at::Tensor& w2_DF,
                     Activation activation) {
  return at::mm(gated_activation_reference(at::mm(x_RD, w13_2FD.t()), activation), w2_DF.t());
}

}  // namespace

at::Tensor moe_experts_reference(const at::Tensor& x_TD, const DispatchPlan& plan, const at::Tensor& weight_N,
                                 const at::Tensor& w13_E2FD, const at::Tensor& w2_EDF,
                                 const std::optional<SharedExpert>& shared, Activation activation) {
  const auto compute = x_TD.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor y_TD = at::zeros(x_TD.sizes(), x_TD.options().dtype(compute));
  const at::Tensor offset = plan.offset_E1.cpu();
  for (int64_t e = 0; e < plan.num_experts; ++e) {
    const int64_t first = offset[e].item<int64_t>();
    const int64_t count = offset[e + 1].item<int64_t>() - first;
    if (count == 0) continue;
    const at::Tensor token = plan.token_R.narrow(0, first, count);
    const at::Tensor weight = weight_N.index_select(0, plan.row_R.narrow(0, first, count));
    const at::Tensor y = gated_mlp(x_TD.index_select(0, token), w13_E2FD[e], w2_EDF[e], activation);
    y_TD = y_TD.index_add(0, token, y.to(compute) * weight.unsqueeze(1));
  }
  if (shared) y_TD = y_TD + gated_mlp(x_TD, shared->w13_2FD, shared->w2_DF, activation).to(compute);
  return y_TD.to(x_TD.scalar_type());
}

}  // namespace polyphony::ops
