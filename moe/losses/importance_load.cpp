// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/importance_load.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"
#include "moe/losses/expert_load.h"

namespace polyphony::moe {
namespace {

at::Tensor squared_variation(const at::Tensor& value_E) {
  if (value_E.size(0) < 2) return value_E.sum() * 0;
  return value_E.var(/*unbiased=*/true) / (value_E.mean().square() + 1e-10);
}

}  // namespace

at::Tensor importance_loss(const Routing& routing) {
  return squared_variation(expert_load(routing, {.num_experts = routing.num_experts}).probability_SE.select(0, 0));
}

at::Tensor load_loss(const Routing& routing) {
  check<ShapeError>(routing.logits_TE.defined() && routing.noise_TE.defined() && routing.noise_width_TE.defined(),
                    "[losses] load needs a router with noisy logits; this routing has none");
  const int64_t T = routing.num_tokens, columns = routing.logits_TE.size(1);
  if (T == 0) return at::zeros({}, routing.logits_TE.options());
  // A token that is allowed fewer experts than K has -inf as threshold and is sure of them.
  const int64_t K = std::clamp<int64_t>(routing.token_N.size(0) / T, 1, columns);
  const auto threshold_T1 = std::get<0>(routing.logits_TE.topk(K, 1)).narrow(1, K - 1, 1);
  // Forbidden experts have no chance, and -inf would leave NaN in the gradient.
  const auto forbidden_TE = routing.logits_TE.isneginf();
  const auto clean_TE = routing.logits_TE.masked_fill(forbidden_TE, 0) - routing.noise_TE;
  const auto margin_TE = (clean_TE - threshold_T1) / routing.noise_width_TE;
  const auto chance_TE = at::special_ndtr(margin_TE.clamp_max(1e4)).masked_fill(forbidden_TE, 0);
  return squared_variation(chance_TE.sum(0));
}

}  // namespace polyphony::moe
