// SPDX-License-Identifier: Apache-2.0
// The moves of rows by CUDA kernels; see row_moves.h. Nothing is checked, nothing waits for the GPU.
#pragma once
#include "core/ops/dispatch_plan/dispatch_plan.h"

namespace polyphony::ops {

at::Tensor gather_rows_cuda(const at::Tensor& x_TD, const DispatchPlan& plan);

at::Tensor sum_rows_of_tokens_cuda(const at::Tensor& y_RD, const at::Tensor& weight_R, const DispatchPlan& plan,
                                   const at::Tensor& extra_TD = {});

// The gradients of combine_rows for dout_TD.
struct CombineGradients {
  at::Tensor y_RD;
  at::Tensor weight_N;
};
CombineGradients combine_gradients_cuda(const at::Tensor& dout_TD, const at::Tensor& y_RD, const at::Tensor& weight_N,
                                        const DispatchPlan& plan);

}  // namespace polyphony::ops
