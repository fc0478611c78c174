// SPDX-License-Identifier: Apache-2.0
#include "core/ops/combine_rows/row_moves_cuda.h"

#include <ATen/ATen.h>

#include "core/ops/combine_rows/combine_rows_kernels.h"
#include "core/ops/cuda_types.h"
#include "core/ops/permute_rows/permute_rows_kernels.h"

namespace polyphony::ops {

at::Tensor gather_rows_cuda(const at::Tensor& x_TD, const DispatchPlan& plan) {
  const c10::DeviceGuard guard(x_TD.device());
  const at::Tensor out_RD = at::empty({plan.num_rows(), x_TD.size(1)}, x_TD.options());
  launch(GatherRows{.x_TD = x_TD.const_data_ptr(),
                    .token_R = plan.token_R.const_data_ptr<int64_t>(),
                    .out_RD = out_RD.mutable_data_ptr(),
                    .num_rows = plan.num_rows(),
                    .row_bytes = x_TD.size(1) * static_cast<int64_t>(x_TD.element_size())});
  return out_RD;
}

at::Tensor sum_rows_of_tokens_cuda(const at::Tensor& y_RD, const at::Tensor& weight_R, const DispatchPlan& plan,
                                   const at::Tensor& extra_TD) {
  const at::Tensor out_TD = at::empty({plan.num_tokens, y_RD.size(1)}, y_RD.options());
  with_cuda_type(y_RD, [&](auto zero) {
    using T = decltype(zero);
    launch(SumRows<T>{.y_RD = y_RD.const_data_ptr<T>(),
                      .weight_R = weight_R.defined() ? weight_R.const_data_ptr<float>() : nullptr,
                      .token_offset_T1 = plan.token_offset_T1.const_data_ptr<int64_t>(),
                      .slot_R = plan.slot_R.const_data_ptr<int64_t>(),
                      .extra_TD = extra_TD.defined() ? extra_TD.const_data_ptr<T>() : nullptr,
                      .out_TD = out_TD.mutable_data_ptr<T>(),
                      .num_tokens = plan.num_tokens,
                      .D = y_RD.size(1)});
  });
  return out_TD;
}

CombineGradients combine_gradients_cuda(const at::Tensor& dout_TD, const at::Tensor& y_RD, const at::Tensor& weight_N,
                                        const DispatchPlan& plan) {
  const CombineGradients gradients{.y_RD = at::empty_like(y_RD), .weight_N = at::zeros_like(weight_N)};
  with_cuda_type(y_RD, [&](auto zero) {
    using T = decltype(zero);
    launch(CombineGradient<T>{.dout_TD = dout_TD.const_data_ptr<T>(),
                              .y_RD = y_RD.const_data_ptr<T>(),
                              .weight_N = weight_N.const_data_ptr<float>(),
                              .row_R = plan.row_R.const_data_ptr<int64_t>(),
                              .token_R = plan.token_R.const_data_ptr<int64_t>(),
                              .dy_RD = gradients.y_RD.mutable_data_ptr<T>(),
                              .dweight_N = gradients.weight_N.mutable_data_ptr<float>(),
                              .num_rows = plan.num_rows(),
                              .D = y_RD.size(1)});
  });
  return gradients;
}

}  // namespace polyphony::ops
