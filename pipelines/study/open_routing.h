// SPDX-License-Identifier: Apache-2.0
// Routers by themselves, outside a layer: all tokens alike, all experts open to them.
#pragma once
#include "moe/routing.h"

namespace polyphony::pipelines {

// A context for x_TD in which every token may use every one of E experts.
moe::RoutingContext open_context(const at::Tensor& x_TD, int64_t num_experts, bool training, int64_t step = 0);

// (T, E): the combine weights of the rows as a table, 0 where there is no row. Differentiable.
at::Tensor weight_table(const moe::Routing& routing);

}  // namespace polyphony::pipelines
