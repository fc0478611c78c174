// SPDX-License-Identifier: Apache-2.0
// Top-p router: each token takes the smallest set of experts whose probabilities add up to more than p.
// Source: Dynamic routing, "Harder Tasks Need More Experts" (arXiv:2403.07652) section 3; weights are not renormalised.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/selection.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class TopPRouter final : public Router {
 public:
  explicit TopPRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
  }

  RouterTraits traits() const override { return {}; }

  Routing route(const RoutingContext& context) override {
    const auto allowed_TE = allowed_of_token(context);
    const int64_t E = config_.num_experts;
    auto routing = scored(context, allowed_TE, gate_logits(with_jitter(context, config_.jitter), weight_), "softmax");
    const auto expert_TE = top_indices(choice_scores(routing), E);
    const auto weight_TE = routing.score_TE.gather(1, expert_TE);
    const auto keep_TE = allowed_TE.gather(1, expert_TE) & kept(weight_TE.detach(), context);
    set_rows(routing, {.expert_TK = expert_TE, .keep_TK = keep_TE},
             config_.scale == 1.0 ? weight_TE : weight_TE * config_.scale);
    return routing;
  }

 private:
  // Which of the experts, most probable first, a token keeps. A rank override replaces p by a number of experts.
  at::Tensor kept(const at::Tensor& falling_TE, const RoutingContext& context) const {
    if (context.experts_per_token) {
      const auto rank_E = at::arange(falling_TE.size(1), falling_TE.options().dtype(at::kLong));
      return (rank_E < rank_of(context, config_)).expand_as(falling_TE);
    }
    if (config_.top_p >= 1.0) return at::ones_like(falling_TE, at::kBool);
    // An expert stays while those before it do not pass p: the one that crosses is in, and the first always is.
    // In f64, so that evenly spread probabilities add up to what they should.
    const auto before_TE = falling_TE.cumsum(1, at::kDouble) - falling_TE;
    return before_TE <= config_.top_p;
  }

  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

RouterEntry top_p_router() {
  return {.summary = "takes experts until their probabilities pass p: harder tokens get more",
          .source = "Dynamic routing (arXiv:2403.07652) 3",
          .options = {"top_p", "routed_scaling_factor", "router_jitter_noise"},
          .make = &make_of<TopPRouter>};
}

}  // namespace polyphony::moe
