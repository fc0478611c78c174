// SPDX-License-Identifier: Apache-2.0
// Counting sorts by expert and by token: O(N + E + T), no comparison.
#include "core/ops/dispatch_plan/dispatch_plan_cpu.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::ops {
namespace {

// offset[i] becomes the number of keys below i; offset has one more entry than there are keys.
void prefix_sum(int64_t* offset, int64_t num_keys) {
  int64_t sum = 0;
  for (int64_t i = 0; i <= num_keys; ++i) sum += std::exchange(offset[i], sum);
}

}  // namespace

DispatchPlan dispatch_plan_cpu(const at::Tensor& token_N, const at::Tensor& expert_N, int64_t num_tokens,
                               int64_t num_experts) {
  const at::Tensor token_c = token_N.contiguous();
  const at::Tensor expert_c = expert_N.contiguous();
  const int64_t* token = token_c.const_data_ptr<int64_t>();
  const int64_t* expert = expert_c.const_data_ptr<int64_t>();
  const int64_t N = token_N.size(0);
  const auto options = at::TensorOptions().dtype(at::kLong);

  DispatchPlan plan;
  plan.num_tokens = num_tokens;
  plan.num_experts = num_experts;
  plan.num_routing_rows = N;
  plan.offset_E1 = at::zeros({num_experts + 1}, options);
  plan.token_offset_T1 = at::zeros({num_tokens + 1}, options);
  int64_t* offset = plan.offset_E1.mutable_data_ptr<int64_t>();
  int64_t* token_offset = plan.token_offset_T1.mutable_data_ptr<int64_t>();
  int64_t R = 0;
  for (int64_t n = 0; n < N; ++n) {
    check<ShapeError>(token[n] >= 0 && token[n] < num_tokens, "[dispatch_plan] token of row ", n, " must be in [0, ",
                      num_tokens, "), got ", token[n]);
    check<ShapeError>(expert[n] >= 0, "[dispatch_plan] expert of row ", n, " must not be negative, got ", expert[n]);
    if (expert[n] >= num_experts) continue;
    ++offset[expert[n]];
    ++token_offset[token[n]];
    ++R;
  }
  prefix_sum(offset, num_experts);
  prefix_sum(token_offset, num_tokens);

  plan.row_R = at::empty({R}, options);
  plan.token_R = at::empty({R}, options);
  plan.expert_R = at::empty({R}, options);
  plan.slot_R = at::empty({R}, options);
  int64_t* sorted_row = plan.row_R.mutable_data_ptr<int64_t>();
  int64_t* sorted_token = plan.token_R.mutable_data_ptr<int64_t>();
  int64_t* sorted_expert = plan.expert_R.mutable_data_ptr<int64_t>();
  int64_t* slot = plan.slot_R.mutable_data_ptr<int64_t>();
  std::vector<int64_t> next_of_expert(offset, offset + num_experts);
  for (int64_t n = 0; n < N; ++n) {
    if (expert[n] >= num_experts) continue;
    const int64_t r = next_of_expert[expert[n]]++;
    sorted_row[r] = n;
    sorted_token[r] = token[n];
    sorted_expert[r] = expert[n];
  }
  std::vector<int64_t> next_of_token(token_offset, token_offset + num_tokens);
  for (int64_t r = 0; r < R; ++r) slot[next_of_token[sorted_token[r]]++] = r;
  return plan;
}

}  // namespace polyphony::ops
