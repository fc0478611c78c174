// SPDX-License-Identifier: Apache-2.0
// Dispatch: the tokens' rows in the order of a plan. combine_rows with weight 1 is its transpose.
#pragma once
#include "core/ops/dispatch_plan/dispatch_plan.h"

namespace polyphony::ops {

// x_TD (T, D) f32, bf16 or f64 -> (R, D): row r is x[plan.token_R[r]]. The gradient sums a token's rows in the plan's
// order, in f32: the same bits for any number of threads. Throws ShapeError.
at::Tensor permute_rows(const at::Tensor& x_TD, const DispatchPlan& plan);

// The definition in differentiable LibTorch operations.
at::Tensor permute_rows_reference(const at::Tensor& x_TD, const DispatchPlan& plan);

}  // namespace polyphony::ops
