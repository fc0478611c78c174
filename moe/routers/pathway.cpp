// SPDX-License-Identifier: Apache-2.0
// Pathway router: one expert an image, chosen once from the first layer's tokens and kept through all layers; weight 1,
// with the gradient passed straight through to the score of the chosen expert.
// Source: AdvMoE (arXiv:2308.10110) section 3 and its code; there the scores come from the input image, here from the
// mean of the sample's first tokens. A sample whose modalities may use different experts takes the best of each.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/competition.h"
#include "moe/routers/entry.h"
#include "moe/routers/gate.h"
#include "moe/routers/samples.h"

namespace polyphony::moe {
namespace {

class PathwayRouter final : public Router {
 public:
  explicit PathwayRouter(const RouterConfig& config) : config_(config) {
    if (config.layer == 0) gate_ = Gate(*this, config.num_experts, config.model_dim, config.gate_hidden);
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true,
            .weights_sum_to_one = true,
            .causal = false,
            .carries_state = true,
            .learned = config_.layer == 0,
            .exact_gradient = false};
  }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = config_.layer == 0 ? scores(context) : context.state_TP;
    check<ShapeError>(logits_TE.defined() && logits_TE.dim() == 2 && logits_TE.size(0) == context.x_TD.size(0) &&
                          logits_TE.size(1) == config_.num_experts,
                      "[router] state must be (", context.x_TD.size(0), ", ", config_.num_experts,
                      "), the first layer's pathway");
    auto routing = scored(context, allowed_of_token(context), logits_TE, "softmax");
    routing.state_TP = logits_TE;
    const auto chosen = choose_top(choice_scores(routing), rank_of(context, config_));
    const auto share_T1 = chosen.keep_TK.sum(1, /*keepdim=*/true).reciprocal();
    const auto score_TK = routing.score_TE.gather(1, chosen.expert_TK);
    set_rows(routing, chosen, share_T1.to(score_TK.scalar_type()) + (score_TK - score_TK.detach()));
    return routing;
  }

 private:
  at::Tensor scores(const RoutingContext& context) const {
    const auto sample_T = pool_of_token(context, "sample");
    return gate_.logits(mean_of_samples(context.x_TD, sample_T)).index_select(0, sample_T);
  }

  RouterConfig config_;
  Gate gate_;
};

}  // namespace

RouterEntry pathway_router() {
  return {.summary = "one expert an image through all layers, chosen from its first tokens",
          .source = "AdvMoE (arXiv:2308.10110) 3",
          .options = {"gate_hidden"},
          .defaults = {.experts_per_token = 1},
          .make = &make_of<PathwayRouter>};
}

}  // namespace polyphony::moe
