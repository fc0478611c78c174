// SPDX-License-Identifier: Apache-2.0
// What every router of the top-k family does after its gate: score, choose the K best, weigh, lay out rows.
#pragma once
#include "moe/routers/selection.h"

namespace polyphony::moe {

// logits_TE: f32, unmasked; columns from E up are null experts. Throws as `scored` and `rank_of`.
Routing token_choice(const RoutingContext& context, const at::Tensor& logits_TE, const RouterConfig& config);

// Fills the rows of a scored routing from the K best of choice_TE, weighed by config.weight_from, normalise and scale.
void choose_and_weigh(Routing& routing, const at::Tensor& choice_TE, int64_t K, const RouterConfig& config);

// The same with null experts, whose rows stay for the losses with weight 0: nothing is computed for them. normalise
// "sum" divides by the chosen true experts alone; "none" lets a null keep its share, so that the output shrinks.
void choose_with_nulls(Routing& routing, int64_t K, const RouterConfig& config);

}  // namespace polyphony::moe
