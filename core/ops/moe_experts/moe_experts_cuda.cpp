// SPDX-License-Identifier: Apache-2.0
// The same passes as on the CPU in whole-tensor steps: own kernels move, sum and activate rows, LibTorch multiplies.
// y is not needed for backward: <dy, y> = <W2^T dy, a>. Source: SonicMoE (arXiv:2512.14080).
#include "core/ops/moe_experts/moe_experts_cuda.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include "core/ops/combine_rows/row_moves_cuda.h"
#include "core/ops/gated_activation/gated_activation_cuda.h"
#include "core/ops/grouped_mlp/grouped_product.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {

ExpertsOutput moe_experts_forward_cuda(const ExpertsInput& in, bool one_launch) {
  const KernelsOnly kernels;
  const c10::DeviceGuard device(in.x_TD.device());
  const RowGroups groups = row_groups(in.plan.offset_E1, one_launch);
  ExpertsOutput out;
  out.h_R2F = grouped_product(gather_rows_cuda(in.x_TD, in.plan), in.w13_E2FD.transpose(1, 2), groups);
  const at::Tensor a_RF = gated_activation_cuda(out.h_R2F, in.activation);
  const at::Tensor y_RD = grouped_product(a_RF, in.w2_EDF.transpose(1, 2), groups);
  at::Tensor shared_y_TD;
  if (in.shared) {
    out.shared_h_T2F = at::mm(in.x_TD, in.shared->w13_2FD.t());
    shared_y_TD = at::mm(gated_activation_cuda(out.shared_h_T2F, in.activation), in.shared->w2_DF.t());
  }
  out.y_TD = sum_rows_of_tokens_cuda(y_RD, in.weight_N.index_select(0, in.plan.row_R), in.plan, shared_y_TD);
  return out;
}

ExpertsGradient moe_experts_backward_cuda(const ExpertsInput& in, const ExpertsOutput& out, const at::Tensor& dy_TD,
                                          const ExpertsWanted& wanted, bool one_launch) {
  const KernelsOnly kernels;
  const c10::DeviceGuard device(in.x_TD.device());
  const RowGroups groups = row_groups(in.plan.offset_E1, one_launch);
  const at::Tensor dy_RD = gather_rows_cuda(dy_TD, in.plan);
  const at::Tensor da_RF = grouped_product(dy_RD, in.w2_EDF, groups);
  const auto routed = gated_activation_gradient_cuda(out.h_R2F, da_RF, in.activation,
                                                     {.weight_N = in.weight_N, .row_R = in.plan.row_R});
  ExpertsGradient gradient;
  gradient.weight_N = routed.weight_N;
  if (wanted.w13) gradient.w13_E2FD = grouped_outer_product(routed.h_R2F, gather_rows_cuda(in.x_TD, in.plan), groups);
  if (wanted.w2) gradient.w2_EDF = grouped_outer_product(dy_RD, routed.a_RF, groups);

  at::Tensor shared_dx_TD;
  if (in.shared) {
    const at::Tensor shared_da = at::mm(dy_TD, in.shared->w2_DF);
    const at::Tensor shared_dh = gated_activation_gradient_cuda(out.shared_h_T2F, shared_da, in.activation).h_R2F;
    if (wanted.shared) {
      gradient.shared_w13_2FD = at::mm(shared_dh.t(), in.x_TD);
      gradient.shared_w2_DF = at::mm(dy_TD.t(), gated_activation_cuda(out.shared_h_T2F, in.activation));
    }
    if (wanted.x) shared_dx_TD = at::mm(shared_dh, in.shared->w13_2FD);
  }
  if (wanted.x) {
    const at::Tensor dx_RD = grouped_product(routed.h_R2F, in.w13_E2FD, groups);
    gradient.x_TD = sum_rows_of_tokens_cuda(dx_RD, {}, in.plan, shared_dx_TD);
  }
  return gradient;
}

}  // namespace polyphony::ops
