// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/token_choice.h"

#include <ATen/ATen.h>

#include "moe/routers/weights.h"

namespace polyphony::moe {

void choose_and_weigh(Routing& routing, const at::Tensor& choice_TE, int64_t K, const RouterConfig& config) {
  const auto chosen = choose_top(choice_TE, K);
  set_rows(routing, chosen, weights_of_chosen(routing, chosen, config));
}

Routing token_choice(const RoutingContext& context, const at::Tensor& logits_TE, const RouterConfig& config) {
  auto routing = scored(context, allowed_of_token(context), logits_TE, config.score);
  choose_and_weigh(routing, config.score == "raw" ? routing.logits_TE.detach() : choice_scores(routing),
                   rank_of(context, config), config);
  return routing;
}

void choose_with_nulls(Routing& routing, int64_t K, const RouterConfig& config) {
  const auto chosen = choose_top(choice_scores(routing), K);
  const auto counts_TK = chosen.keep_TK & (chosen.expert_TK < routing.num_experts);
  const auto share_TK = routing.score_TE.gather(1, chosen.expert_TK).masked_fill(~counts_TK, 0);
  const auto weight_TK = normalise_weights(share_TK, config.normalise);
  set_rows(routing, chosen, config.scale == 1.0 ? weight_TK : weight_TK * config.scale);
}

}  // namespace polyphony::moe
