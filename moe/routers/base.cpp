// SPDX-License-Identifier: Apache-2.0
// BASE router: while training tokens are assigned so that every expert gets equally many and the sum of scores is
// largest; afterwards each takes its best expert.
// Source: BASE Layers (arXiv:2103.16716) section 3: assignment by auction, weight sigmoid(score), so that the expert
// can learn to want a token.
#include <ATen/ATen.h>

#include "moe/assignment.h"
#include "moe/routers/competition.h"
#include "moe/routers/entry.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

// How far below the best assignment a token may end, as a share of the scores' spread.
constexpr double kPrecision = 1e-2;

class BaseRouter final : public Router {
 public:
  explicit BaseRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
  }

  RouterTraits traits() const override { return {.fixed_rows_per_token = true}; }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = gate_logits(context.x_TD, weight_);
    if (!context.training || context.experts_per_token || context.x_TD.size(0) == 0)
      return token_choice(context, logits_TE, config_);
    auto routing = scored(context, allowed_of_token(context), logits_TE, config_.score);
    const auto benefit_TE = routing.logits_TE.detach();
    const double spread = benefit_TE.masked_fill(benefit_TE.isneginf(), 0).std(/*unbiased=*/false).item<double>();
    const auto capacity_E = even_capacity(context, pool_of_token(context, "batch"), 1.0).squeeze(0);
    const auto expert_T1 = auction_assignment(benefit_TE, capacity_E, kPrecision * spread + 1e-9).unsqueeze(1);
    const Chosen chosen{.expert_TK = expert_T1, .keep_TK = at::ones_like(expert_T1, at::kBool)};
    set_rows(routing, chosen, weights_of_chosen(routing, chosen, config_));
    return routing;
  }

 private:
  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

RouterEntry base_router() {
  return {.summary = "one expert a token; while training, the best assignment with equal loads",
          .source = "BASE Layers (arXiv:2103.16716) 3",
          .options = {"routed_scaling_factor"},
          .defaults = {.experts_per_token = 1, .score = "sigmoid", .normalise = "none"},
          .make = &make_of<BaseRouter>};
}

}  // namespace polyphony::moe
