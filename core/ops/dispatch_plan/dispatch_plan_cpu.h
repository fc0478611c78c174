// SPDX-License-Identifier: Apache-2.0
// The counting sort of CPU tensors. Throws ShapeError for ids out of range.
#pragma once
#include "core/ops/dispatch_plan/dispatch_plan.h"

namespace polyphony::ops {

DispatchPlan dispatch_plan_cpu(const at::Tensor& token_N, const at::Tensor& expert_N, int64_t num_tokens,
                               int64_t num_experts);

}  // namespace polyphony::ops
