// SPDX-License-Identifier: Apache-2.0
// The counting sorts of CUDA tensors. Throws ShapeError for ids out of range and for 2^31 rows or more. Waits for the
// GPU once: the number of dispatched rows, of which the plan's tensors are made, is known only there.
#pragma once
#include "core/ops/dispatch_plan/dispatch_plan.h"

namespace polyphony::ops {

DispatchPlan dispatch_plan_cuda(const at::Tensor& token_N, const at::Tensor& expert_N, int64_t num_tokens,
                                int64_t num_experts);

}  // namespace polyphony::ops
