// SPDX-License-Identifier: Apache-2.0
// A dispatch plan in the memory of an autograd node.
#pragma once
#include <torch/csrc/autograd/custom_function.h>

#include "core/ops/dispatch_plan/dispatch_plan.h"

namespace polyphony::ops {

// Saves `tensors` and the plan; saved_plan and saved_tensors give them back in backward.
void save_with_plan(torch::autograd::AutogradContext* ctx, torch::autograd::variable_list tensors,
                    const DispatchPlan& plan);

struct SavedWithPlan {
  torch::autograd::variable_list tensors;
  DispatchPlan plan;
};
SavedWithPlan load_with_plan(torch::autograd::AutogradContext* ctx);

// Throws Error naming the operation if a graph of the backward is wanted: its custom gradients are written once.
void refuse_double_backward(const char* name);

}  // namespace polyphony::ops
