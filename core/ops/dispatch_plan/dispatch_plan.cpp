// SPDX-License-Identifier: Apache-2.0
#include "core/ops/dispatch_plan/dispatch_plan.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/dispatch_plan/dispatch_plan_cpu.h"
#include "core/ops/dispatch_plan/dispatch_plan_cuda.h"

namespace polyphony::ops {

DispatchPlan make_dispatch_plan(const at::Tensor& token_N, const at::Tensor& expert_N, int64_t num_tokens,
                                int64_t num_experts) {
  constexpr auto where = "[dispatch_plan] ";
  check<ShapeError>(token_N.defined() && token_N.dim() == 1 && token_N.scalar_type() == at::kLong, where,
                    "token must be i64 (N)");
  check<ShapeError>(expert_N.defined() && expert_N.sizes() == token_N.sizes() && expert_N.scalar_type() == at::kLong,
                    where, "expert must be i64 (N) with N = ", token_N.size(0));
  check<ShapeError>(expert_N.device() == token_N.device(), where, "token and expert are on different devices");
  check<ShapeError>(num_tokens >= 0 && num_experts > 0, where, "expected num_tokens >= 0 and num_experts > 0, got ",
                    num_tokens, " and ", num_experts);
  return token_N.is_cpu() ? dispatch_plan_cpu(token_N, expert_N, num_tokens, num_experts)
                          : dispatch_plan_cuda(token_N, expert_N, num_tokens, num_experts);
}

}  // namespace polyphony::ops
