// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/weights.h"

#include <ATen/ATen.h>

#include <limits>

#include "core/check.h"

namespace polyphony::moe {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

at::Tensor normalise_weights(const at::Tensor& weight_TK, const std::string& normalise) {
  if (normalise == "none") return weight_TK;
  const auto sum_T1 = weight_TK.sum(-1, /*keepdim=*/true);
  if (normalise == "sum_eps") return weight_TK / (sum_T1 + 1e-20);
  // Sigmoid scores can all underflow; the smallest normal number changes no other sum.
  return weight_TK / sum_T1.clamp_min(normalise == "clamp" ? 1e-12 : std::numeric_limits<float>::min());
}

at::Tensor weights_of_chosen(const Routing& routing, const Chosen& chosen, const RouterConfig& config) {
  const auto out_TK = ~chosen.keep_TK;
  const auto logit_TK = routing.logits_TE.gather(1, chosen.expert_TK).masked_fill(out_TK, kMinusInfinity);
  auto weight_TK = config.weight_from == "score" ? routing.score_TE.gather(1, chosen.expert_TK).masked_fill(out_TK, 0)
                   : config.weight_from == "softmax_selected" ? logit_TK.softmax(-1)
                                                              : logit_TK.sigmoid();
  weight_TK = normalise_weights(weight_TK, config.normalise);
  return config.scale == 1.0 ? weight_TK : weight_TK * config.scale;
}

bool weights_sum_to_one(const RouterConfig& c) {
  return c.scale == 1.0 && (c.weight_from == "softmax_selected" || c.normalise != "none");
}

void check_weight_settings(const RouterConfig& c) {
  check<ConfigError>(
      c.score != "raw" || c.weight_from != "score",
      "[moe] score 'raw' chooses by logits, which are no weights; set weight_from to softmax_selected or "
      "sigmoid_logit");
}

}  // namespace polyphony::moe
