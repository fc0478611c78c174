// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/first_choice_balance.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/losses/expert_load.h"

namespace polyphony::moe {

at::Tensor first_choice_balance_loss(const Routing& routing, const at::Tensor& sample_T) {
  check<ShapeError>(routing.score_TE.defined(), "[losses] first-choice balance needs a router with scores");
  // The choices as a routing of one row a token; expert_load counts and averages.
  Routing first = routing;
  first.token_N = at::arange(routing.num_tokens, routing.token_N.options());
  first.expert_N = routing.num_tokens == 0 ? first.token_N : routing.score_TE.detach().argmax(1);
  const int64_t B = !sample_T.defined() || sample_T.numel() == 0 ? 1 : sample_T.max().item<int64_t>() + 1;
  const auto load = expert_load(first, {.num_experts = routing.num_experts}, sample_T, B);
  const auto share_SE = load.count_SE / load.tokens_S.clamp_min(1).unsqueeze(1);
  const auto loss_S = static_cast<double>(share_SE.size(1)) * (share_SE * load.probability_SE).sum(1);
  return loss_S.sum() / (load.tokens_S > 0).sum().clamp_min(1);
}

}  // namespace polyphony::moe
