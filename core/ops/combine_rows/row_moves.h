// SPDX-License-Identifier: Apache-2.0
// Gather and sum of rows without autograd, for CPU and CUDA: what permute_rows and combine_rows are made of, each the
// other's gradient. Tensors must be contiguous; f64 is for the CPU.
#pragma once
#include "core/ops/dispatch_plan/dispatch_plan.h"

namespace polyphony::ops {

// Row r is x[plan.token_R[r]].
at::Tensor gather_rows(const at::Tensor& x_TD, const DispatchPlan& plan);

// weight_R in the order of the sorted rows; undefined means 1. `extra_TD` is added at the end where defined.
at::Tensor sum_rows_of_tokens(const at::Tensor& y_RD, const at::Tensor& weight_R, const DispatchPlan& plan,
                              const at::Tensor& extra_TD = {});

}  // namespace polyphony::ops
