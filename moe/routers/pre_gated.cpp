// SPDX-License-Identifier: Apache-2.0
// Pre-gated router: a layer's gate chooses and weighs the experts of the next layer, whose weights can be fetched while
// this one computes. The first layer has a gate for itself, too; the last has none for a next one.
// Source: Pre-gated MoE (arXiv:2308.12066) section 4. look_ahead 0 is the conventional gate.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/gate.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class PreGatedRouter final : public Router {
 public:
  explicit PreGatedRouter(const RouterConfig& config) : config_(config) {
    check_weight_settings(config);
    const int64_t E = config.num_experts, D = config.model_dim;
    if (decides_here()) gate_ = Gate(*this, E, D, 0);
    if (decides_ahead()) next_gate_ = Gate(*this, E, D, 0, "next_");
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true,
            .weights_sum_to_one = weights_sum_to_one(config_),
            .carries_state = decides_ahead(),
            .learned = decides_here() || decides_ahead()};
  }

  Routing route(const RoutingContext& context) override {
    const auto x_TD = with_jitter(context, config_.jitter);
    auto routing = token_choice(context, decides_here() ? gate_.logits(x_TD) : decided(context), config_);
    if (decides_ahead()) routing.state_TP = next_gate_.logits(x_TD);
    return routing;
  }

 private:
  bool decides_here() const { return config_.layer == 0 || config_.look_ahead == 0; }
  bool decides_ahead() const { return config_.look_ahead == 1 && config_.layer + 1 < config_.num_layers; }

  at::Tensor decided(const RoutingContext& context) const {
    const auto& state = context.state_TP;
    check<ShapeError>(state.defined() && state.dim() == 2 && state.size(0) == context.x_TD.size(0) &&
                          state.size(1) == config_.num_experts,
                      "[router] state must be (", context.x_TD.size(0), ", ", config_.num_experts,
                      "), the decision of the layer before");
    return state;
  }

  RouterConfig config_;
  Gate gate_, next_gate_;
};

}  // namespace

RouterEntry pre_gated_router() {
  return {.summary = "top-k whose gate sits one layer earlier, so that experts can be fetched in time",
          .source = "Pre-gated MoE (arXiv:2308.12066) 4",
          .options = {"experts_per_token", "score", "weight_from", "normalise", "routed_scaling_factor",
                      "router_jitter_noise", "look_ahead"},
          .make = &make_of<PreGatedRouter>};
}

}  // namespace polyphony::moe
