// SPDX-License-Identifier: Apache-2.0
// How the scores of the chosen experts become combine weights, in every published form.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routers/selection.h"

namespace polyphony::moe {

// f32 (T, K): weights of the candidates by config.weight_from, normalise and scale; 0 for those that do not count.
// Gradients flow into routing.logits_TE and routing.score_TE.
at::Tensor weights_of_chosen(const Routing& routing, const Chosen& chosen, const RouterConfig& config);

// weight_TK over its row sums: none | sum | sum_eps (1e-20, DeepSeek-V3) | clamp (1e-12, ERNIE-4.5). Rows of zeros stay
// zero.
at::Tensor normalise_weights(const at::Tensor& weight_TK, const std::string& normalise);

// Whether a token's weights add up to one under these settings.
bool weights_sum_to_one(const RouterConfig& config);

// Throws ConfigError on unknown names and on pairs that could give negative weights.
void check_weight_settings(const RouterConfig& config);

}  // namespace polyphony::moe
