// SPDX-License-Identifier: Apache-2.0
// Gates that become exactly sparse by themselves: the smooth step, and rows of the experts whose gate is above 0.
#pragma once
#include "moe/routing.h"

namespace polyphony::moe {

// 0 up to -width/2, 1 from width/2 on, -2 (u/w)^3 + 3/2 (u/w) + 1/2 between; slope 0 at both ends.
// Source: Tree Ensemble Layer (arXiv:2002.07772) 3; used by DSelect-k and COMET.
at::Tensor smooth_step(const at::Tensor& u, double width);

// -p log p summed over the last axis, 0 at p = 0.
at::Tensor entropy_of(const at::Tensor& p);

// gate_TE: not negative, any sum. Rows: allowed experts with a gate above 0, or the `most` largest of them; weights:
// gates over their sum. A token whose gates all lie on forbidden experts shares its allowed ones evenly. Logits are the
// gates' logarithms. Throws NonFiniteError.
Routing route_by_gates(const RoutingContext& context, const at::Tensor& gate_TE, std::optional<int64_t> most);

}  // namespace polyphony::moe
