// SPDX-License-Identifier: Apache-2.0
// Dynamic-capacity router: top-p says how many experts, routed and null, a token gets; they share it almost evenly, and
// a softmax against the shared expert says how much of the output is theirs.
// Source: Uni-MoE-2.0 (arXiv:2511.12609) and its released layer: k = 1 + number of falling cumulative probabilities
// below p; multipliers as the sparse mixer's; null experts keep their weight, so that the output shrinks.
#include <ATen/ATen.h>

#include <limits>

#include "moe/routers/entry.h"
#include "moe/routers/mixer.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {
namespace {

class DynamicCapacityRouter final : public Router {
 public:
  explicit DynamicCapacityRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts + config.num_null, config.model_dim));
    if (config.shared_expert) shared_weight_ = register_parameter("shared_weight", gate_weight(1, config.model_dim));
  }

  RouterTraits traits() const override { return {.weights_sum_to_one = !config_.shared_expert}; }

  Routing route(const RoutingContext& context) override {
    const auto x_TD = with_jitter(context, config_.jitter);
    auto routing = scored(context, allowed_of_token(context), gate_logits(x_TD, weight_), "softmax");
    const auto count_T1 = experts_of_token(routing, context);
    auto left_TE = routing.logits_TE;
    std::vector<at::Tensor> expert, weight, keep;
    const int64_t most = count_T1.size(0) > 0 ? count_T1.max().item<int64_t>() : 1;
    for (int64_t k = 0; k < most; ++k) {
      const auto pick = mixer_pick(left_TE, config_.mixer_epsilon, context);
      left_TE = left_TE.scatter(1, pick.expert_T1, -std::numeric_limits<double>::infinity());
      expert.push_back(pick.expert_T1);
      keep.push_back(pick.keep_T1 & (count_T1 > k));
      weight.push_back(pick.weight_T1.masked_fill(~keep.back(), 0));
    }
    const Chosen chosen{.expert_TK = at::cat(expert, 1), .keep_TK = at::cat(keep, 1)};
    auto weight_TK = at::cat(weight, 1);
    weight_TK = weight_TK / weight_TK.sum(1, /*keepdim=*/true);
    if (shared_weight_.defined()) {
      const auto logit_TK = routing.logits_TE.gather(1, chosen.expert_TK)
                                .masked_fill(~chosen.keep_TK, -std::numeric_limits<double>::infinity());
      const auto routed_T1 = (logit_TK.logsumexp(1, /*keepdim=*/true) - gate_logits(x_TD, shared_weight_)).sigmoid();
      weight_TK = weight_TK * routed_T1;
      routing.shared_weight_T = 1 - routed_T1.squeeze(1);
    }
    set_rows(routing, chosen, weight_TK);
    return routing;
  }

 private:
  at::Tensor experts_of_token(const Routing& routing, const RoutingContext& context) const {
    const auto falling_TE = std::get<0>(routing.score_TE.detach().sort(/*stable=*/true, 1, /*descending=*/true));
    if (context.experts_per_token) return at::full({falling_TE.size(0), 1}, rank_of(context, config_), at::kLong);
    const auto count_T1 = 1 + (falling_TE.cumsum(1, at::kDouble) < config_.top_p).sum(1, /*keepdim=*/true);
    return count_T1.clamp_max(falling_TE.size(1));
  }

  RouterConfig config_;
  at::Tensor weight_, shared_weight_;
};

}  // namespace

RouterEntry dynamic_capacity_router() {
  return {.summary = "top-p decides how many routed and null experts share a token; the shared expert is weighed, too",
          .source = "Uni-MoE-2.0 (arXiv:2511.12609)",
          .options = {"top_p", "num_null", "mixer_epsilon", "router_jitter_noise"},
          .defaults = {.top_p = 0.7},
          .make = &make_of<DynamicCapacityRouter>};
}

}  // namespace polyphony::moe
