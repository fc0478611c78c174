// SPDX-License-Identifier: Apache-2.0
// From a routing to the plan that experts compute by.
#pragma once
#include "core/ops/dispatch_plan/dispatch_plan.h"
#include "moe/routing.h"

namespace polyphony::moe {

// Rows sorted by expert; rows of null experts (ids from num_experts up) and dropped rows are left out. Throws
// ShapeError as check_routing.
ops::DispatchPlan plan_dispatch(const Routing& routing);

}  // namespace polyphony::moe
