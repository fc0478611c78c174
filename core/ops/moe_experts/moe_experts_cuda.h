// SPDX-License-Identifier: Apache-2.0
// Forward and backward of moe_experts on CUDA tensors that moe_experts.cpp has checked and made contiguous. Wait for
// the GPU only without one_launch (grouped_product.h): once each, for the plan's offsets.
#pragma once
#include "core/ops/moe_experts/moe_experts_cpu.h"

namespace polyphony::ops {

ExpertsOutput moe_experts_forward_cuda(const ExpertsInput& in, bool one_launch);
ExpertsGradient moe_experts_backward_cuda(const ExpertsInput& in, const ExpertsOutput& out, const at::Tensor& dy_TD,
                                          const ExpertsWanted& wanted, bool one_launch);

}  // namespace polyphony::ops
