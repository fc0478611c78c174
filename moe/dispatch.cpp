// SPDX-License-Identifier: Apache-2.0
#include "moe/dispatch.h"

namespace polyphony::moe {

ops::DispatchPlan plan_dispatch(const Routing& routing) {
  check_routing(routing);
  return ops::make_dispatch_plan(routing.token_N, routing.expert_N, routing.num_tokens, routing.num_experts);
}

}  // namespace polyphony::moe
