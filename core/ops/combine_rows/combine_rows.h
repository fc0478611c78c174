// SPDX-License-Identifier: Apache-2.0
// Combine: each token's weighted sum of its rows, in the fixed order of a plan.
#pragma once
#include "core/ops/dispatch_plan/dispatch_plan.h"

namespace polyphony::ops {

// y_RD (R, D) f32, bf16 or f64, weight_N f32 (f64 for f64), (N) -> (T, D) in y's dtype:
// sum over the token's rows r, ascending by expert, of weight_N[plan.row_R[r]] * y_r, in f32. Tokens without rows give
// 0. The same bits for any number of threads. Gradients for y and weight_N. Throws ShapeError.
at::Tensor combine_rows(const at::Tensor& y_RD, const at::Tensor& weight_N, const DispatchPlan& plan);

// The definition in differentiable LibTorch operations.
at::Tensor combine_rows_reference(const at::Tensor& y_RD, const at::Tensor& weight_N, const DispatchPlan& plan);

}  // namespace polyphony::ops
