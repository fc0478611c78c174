// SPDX-License-Identifier: Apache-2.0
// One decision for all layers: the first layer's gate decides, the others repeat it, so that the experts of the whole
// model are known before its first layer is done.
// Source: Read-ME (arXiv:2410.19123) section 3.2. Its gate is a small causal transformer of its own; this one is a gate
// of one or two layers on the first layer's tokens.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/gate.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class OneDecisionRouter final : public Router {
 public:
  explicit OneDecisionRouter(const RouterConfig& config) : config_(config) {
    check_weight_settings(config);
    if (config.layer == 0) gate_ = Gate(*this, config.num_experts, config.model_dim, config.gate_hidden);
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true,
            .weights_sum_to_one = weights_sum_to_one(config_),
            .carries_state = true,
            .learned = config_.layer == 0};
  }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = config_.layer == 0 ? gate_.logits(with_jitter(context, config_.jitter)) : decided(context);
    auto routing = token_choice(context, logits_TE, config_);
    routing.state_TP = logits_TE;
    return routing;
  }

 private:
  at::Tensor decided(const RoutingContext& context) const {
    const auto& state = context.state_TP;
    check<ShapeError>(state.defined() && state.dim() == 2 && state.size(0) == context.x_TD.size(0) &&
                          state.size(1) == config_.num_experts,
                      "[router] state must be (", context.x_TD.size(0), ", ", config_.num_experts,
                      "), the first layer's decision");
    return state;
  }

  RouterConfig config_;
  Gate gate_;
};

}  // namespace

RouterEntry one_decision_router() {
  return {.summary = "top-k of the first layer, repeated by all others",
          .source = "Read-ME (arXiv:2410.19123) 3.2",
          .options = {"experts_per_token", "score", "weight_from", "normalise", "routed_scaling_factor",
                      "router_jitter_noise", "gate_hidden"},
          .make = &make_of<OneDecisionRouter>};
}

}  // namespace polyphony::moe
