// SPDX-License-Identifier: Apache-2.0
// Two stable sorts, by expert and by token, in counting passes of eight bits: no comparison, no float, no order of
// arrival, so that the plan is the CPU's to the last index.
#include "core/ops/dispatch_plan/dispatch_plan_cuda.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <limits>

#include "core/check.h"
#include "core/ops/dispatch_plan/dispatch_plan_kernels.h"

namespace polyphony::ops {
namespace {

// Keys and values, both i32 of one size.
struct Pairs {
  at::Tensor key;
  at::Tensor value;
};

Pairs pairs_like(const Pairs& pairs) { return {at::empty_like(pairs.key), at::empty_like(pairs.value)}; }

Pairs sorted(Pairs pairs, int64_t largest_key) {
  const int64_t count = pairs.key.size(0);
  const at::Tensor scratch = at::empty({sort_scratch(count)}, pairs.key.options());
  Pairs out = pairs_like(pairs);
  for (int shift = 0; shift == 0 || largest_key >> shift != 0; shift += kSortBits) {
    launch(SortPass{.key_in = pairs.key.const_data_ptr<int32_t>(),
                    .value_in = pairs.value.const_data_ptr<int32_t>(),
                    .key_out = out.key.mutable_data_ptr<int32_t>(),
                    .value_out = out.value.mutable_data_ptr<int32_t>(),
                    .counts = scratch.mutable_data_ptr<int32_t>(),
                    .num_rows = count,
                    .shift = shift});
    std::swap(pairs, out);
  }
  return pairs;
}

at::Tensor lower_bounds(const at::Tensor& key_R, int64_t num_bounds) {
  at::Tensor bound_K = at::empty({num_bounds}, key_R.options().dtype(at::kLong));
  launch(LowerBounds{.key_R = key_R.const_data_ptr<int32_t>(),
                     .bound_K = bound_K.mutable_data_ptr<int64_t>(),
                     .num_rows = key_R.size(0),
                     .num_bounds = num_bounds});
  return bound_K;
}

}  // namespace

DispatchPlan dispatch_plan_cuda(const at::Tensor& token_N, const at::Tensor& expert_N, int64_t num_tokens,
                                int64_t num_experts) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const int64_t N = token_N.size(0);
  check<ShapeError>(N < kMost && num_tokens < kMost && num_experts < kMost,
                    "[dispatch_plan] on a GPU expected fewer than 2^31 rows, tokens and experts, got ", N, ", ",
                    num_tokens, " and ", num_experts);
  const c10::DeviceGuard guard(token_N.device());
  const auto longs = token_N.options();
  const auto ints = longs.dtype(at::kInt);
  const at::Tensor token_c = token_N.contiguous();
  const at::Tensor expert_c = expert_N.contiguous();
  const at::Tensor first_bad_2 = at::full({2}, N, ints);
  Pairs by_expert{at::empty({N}, ints), at::empty({N}, ints)};
  launch(PlanKeys{.token_N = token_c.const_data_ptr<int64_t>(),
                  .expert_N = expert_c.const_data_ptr<int64_t>(),
                  .key_N = by_expert.key.mutable_data_ptr<int32_t>(),
                  .index_N = by_expert.value.mutable_data_ptr<int32_t>(),
                  .first_bad_2 = first_bad_2.mutable_data_ptr<int32_t>(),
                  .num_rows = N,
                  .num_tokens = num_tokens,
                  .num_experts = num_experts});
  by_expert = sorted(by_expert, num_experts);

  DispatchPlan plan;
  plan.num_tokens = num_tokens;
  plan.num_experts = num_experts;
  plan.num_routing_rows = N;
  plan.offset_E1 = lower_bounds(by_expert.key, num_experts + 1);
  const at::Tensor host = at::cat({first_bad_2.to(at::kLong), plan.offset_E1.narrow(0, num_experts, 1)}).cpu();
  const int64_t* read = host.const_data_ptr<int64_t>();
  check<ShapeError>(read[0] == N, "[dispatch_plan] token of row ", read[0], " must be in [0, ", num_tokens, ")");
  check<ShapeError>(read[1] == N, "[dispatch_plan] expert of row ", read[1], " must not be negative");
  const int64_t R = read[2];

  plan.row_R = at::empty({R}, longs);
  plan.token_R = at::empty({R}, longs);
  plan.expert_R = at::empty({R}, longs);
  Pairs by_token{at::empty({R}, ints), at::empty({R}, ints)};
  launch(PlanRows{.key_R = by_expert.key.const_data_ptr<int32_t>(),
                  .index_R = by_expert.value.const_data_ptr<int32_t>(),
                  .token_N = token_c.const_data_ptr<int64_t>(),
                  .row_R = plan.row_R.mutable_data_ptr<int64_t>(),
                  .token_R = plan.token_R.mutable_data_ptr<int64_t>(),
                  .expert_R = plan.expert_R.mutable_data_ptr<int64_t>(),
                  .token_key_R = by_token.key.mutable_data_ptr<int32_t>(),
                  .slot_R = by_token.value.mutable_data_ptr<int32_t>(),
                  .num_rows = R});
  by_token = sorted(by_token, num_tokens);
  plan.token_offset_T1 = lower_bounds(by_token.key, num_tokens + 1);
  plan.slot_R = by_token.value.to(at::kLong);
  return plan;
}

}  // namespace polyphony::ops
