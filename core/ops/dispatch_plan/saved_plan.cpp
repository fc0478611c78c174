// SPDX-License-Identifier: Apache-2.0
#include "core/ops/dispatch_plan/saved_plan.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::ops {

void save_with_plan(torch::autograd::AutogradContext* ctx, torch::autograd::variable_list tensors,
                    const DispatchPlan& plan) {
  for (const at::Tensor& part :
       {plan.row_R, plan.token_R, plan.expert_R, plan.offset_E1, plan.token_offset_T1, plan.slot_R})
    tensors.push_back(part);
  ctx->save_for_backward(std::move(tensors));
  ctx->saved_data["num_tokens"] = plan.num_tokens;
  ctx->saved_data["num_experts"] = plan.num_experts;
  ctx->saved_data["num_routing_rows"] = plan.num_routing_rows;
}

SavedWithPlan load_with_plan(torch::autograd::AutogradContext* ctx) {
  SavedWithPlan saved;
  saved.tensors = ctx->get_saved_variables();
  const size_t first = saved.tensors.size() - 6;
  saved.plan = {.row_R = saved.tensors[first],
                .token_R = saved.tensors[first + 1],
                .expert_R = saved.tensors[first + 2],
                .offset_E1 = saved.tensors[first + 3],
                .token_offset_T1 = saved.tensors[first + 4],
                .slot_R = saved.tensors[first + 5],
                .num_tokens = ctx->saved_data["num_tokens"].toInt(),
                .num_experts = ctx->saved_data["num_experts"].toInt(),
                .num_routing_rows = ctx->saved_data["num_routing_rows"].toInt()};
  saved.tensors.resize(first);
  return saved;
}

void refuse_double_backward(const char* name) {
  check<Error>(!at::GradMode::is_enabled(), "[", name, "] has no double backward: expected create_graph = false");
}

}  // namespace polyphony::ops
