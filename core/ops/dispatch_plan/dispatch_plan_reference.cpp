// SPDX-License-Identifier: Apache-2.0
// The definition of a dispatch plan in stable sorts of LibTorch.
#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/dispatch_plan/dispatch_plan.h"

namespace polyphony::ops {
namespace {

at::Tensor stable_order(const at::Tensor& key_R) {
  return std::get<1>(at::sort(key_R, /*stable=*/true, /*dim=*/0, /*descending=*/false));
}

// num_keys + 1 prefix sums of how often each key occurs.
at::Tensor offsets_of(const at::Tensor& key_R, int64_t num_keys) {
  const at::Tensor count = at::zeros({num_keys}, key_R.options());
  count.scatter_add_(0, key_R, at::ones_like(key_R));
  return at::cat({at::zeros({1}, key_R.options()), count.cumsum(0)});
}

}  // namespace

DispatchPlan dispatch_plan_reference(const at::Tensor& token_N, const at::Tensor& expert_N, int64_t num_tokens,
                                     int64_t num_experts) {
  if (token_N.size(0) > 0) {
    const int64_t low = token_N.min().item<int64_t>();
    const int64_t high = token_N.max().item<int64_t>();
    check<ShapeError>(low >= 0 && high < num_tokens, "[dispatch_plan] tokens must be in [0, ", num_tokens, "), got ",
                      low, " to ", high);
    check<ShapeError>(expert_N.min().item<int64_t>() >= 0, "[dispatch_plan] experts must not be negative, got ",
                      expert_N.min().item<int64_t>());
  }
  const at::Tensor kept = (expert_N < num_experts).nonzero().flatten();
  DispatchPlan plan;
  plan.row_R = kept.index_select(0, stable_order(expert_N.index_select(0, kept)));
  plan.token_R = token_N.index_select(0, plan.row_R);
  plan.expert_R = expert_N.index_select(0, plan.row_R);
  plan.offset_E1 = offsets_of(plan.expert_R, num_experts);
  plan.token_offset_T1 = offsets_of(plan.token_R, num_tokens);
  plan.slot_R = stable_order(plan.token_R);
  plan.num_tokens = num_tokens;
  plan.num_experts = num_experts;
  plan.num_routing_rows = token_N.size(0);
  return plan;
}

}  // namespace polyphony::ops
