// SPDX-License-Identifier: Apache-2.0
#include "moe/dispatch.h"

#include <ATen/ATen.h>

namespace polyphony::moe {

ops::DispatchPlan plan_dispatch(const Routing& routing) {
  check_routing(routing);
  const auto expert_N =
      routing.kept_N.defined() ? routing.expert_N.masked_fill(~routing.kept_N, routing.num_experts) : routing.expert_N;
  return ops::make_dispatch_plan(routing.token_N, expert_N, routing.num_tokens, routing.num_experts);
}

}  // namespace polyphony::moe
