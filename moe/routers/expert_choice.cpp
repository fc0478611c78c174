// SPDX-License-Identifier: Apache-2.0
// Expert-choice router: each expert takes its best tokens among those whose modality may use it.
// Sources: MoMa (arXiv:2407.21770) section 2.2: sigmoid scores within modality groups; Expert Choice
// (arXiv:2202.09368): softmax scores over one group. A token's fate depends on its batch, so the routing is not causal.
#include <ATen/ATen.h>

#include <cmath>

#include "core/check.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {
namespace {

// i64 (E): tokens that each expert takes. The b_M tokens of a modality spread `per_token` experts each evenly over the
// modality's e_M experts, so an expert gets the sum of per_token b_M / e_M over its modalities, rounded up, at least 1
// and at most all its tokens. For disjoint groups that is MoMa's clamp(ceil(c b_M), 1, b_M) with c = per_token / e_M.
at::Tensor capacity_of_experts(const RoutingContext& context, double per_token) {
  const auto allowed_ME = context.allowed_ME.to(at::kDouble);
  const auto tokens_M = at::bincount(context.modality_T.to(at::kLong), {}, allowed_ME.size(0)).to(at::kDouble);
  const auto experts_M = allowed_ME.sum(1).clamp_min(1);
  const auto wanted_E = at::matmul(tokens_M * per_token / experts_M, allowed_ME);
  const auto possible_E = at::matmul(tokens_M, allowed_ME);
  // The small number takes rounding errors of the division off before rounding up.
  const auto rounded_E = (wanted_E - 1e-9).ceil().clamp_min(1);
  return at::minimum(rounded_E, possible_E).to(at::kLong);
}

class ExpertChoiceRouter final : public Router {
 public:
  explicit ExpertChoiceRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
  }

  RouterTraits traits() const override { return {.causal = false}; }

  Routing route(const RoutingContext& context) override {
    const auto allowed_TE = allowed_of_token(context);
    const int64_t T = allowed_TE.size(0);
    Routing routing{.num_tokens = T, .num_experts = config_.num_experts};
    routing.logits_TE = mask_logits(gate_logits(with_jitter(context, config_.jitter), weight_), allowed_TE);
    routing.score_TE = score_of_logits(routing.logits_TE, config_.score);
    // Row e: tokens, best first, forbidden ones last; the first capacity_E[e] are taken.
    const auto token_ET = top_indices(choice_scores(routing).t(), T);
    const auto capacity_E1 = capacity_of_experts(context, average_experts(context)).unsqueeze(1);
    const auto taken_N2 = (at::arange(T, capacity_E1.options()) < capacity_E1).nonzero();
    routing.expert_N = taken_N2.select(1, 0).contiguous();
    routing.token_N = token_ET.index({routing.expert_N, taken_N2.select(1, 1)});
    const auto weight_N = routing.score_TE.index({routing.token_N, routing.expert_N});
    routing.weight_N = config_.scale == 1.0 ? weight_N : weight_N * config_.scale;
    return routing;
  }

 private:
  // Experts that a token gets on average; a rank override replaces the configured number.
  double average_experts(const RoutingContext& context) const {
    return context.experts_per_token ? static_cast<double>(rank_of(context, config_)) : config_.capacity_factor;
  }

  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

std::shared_ptr<Router> make_expert_choice_router(const RouterConfig& config) {
  check_router_sizes(config);
  check_one_of(config.score, {"sigmoid", "softmax"}, "score of router 'expert_choice'");
  check<ConfigError>(config.capacity_factor > 0.0 && std::isfinite(config.capacity_factor),
                     "[moe] capacity_factor must be positive, got ", config.capacity_factor);
  refuse_topk_settings(config);
  refuse_null_experts(config);
  return std::make_shared<ExpertChoiceRouter>(config);
}

}  // namespace polyphony::moe
