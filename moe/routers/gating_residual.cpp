// SPDX-License-Identifier: Apache-2.0
// Gating-residual router: a layer's logits add a linear map of the logits of the layer before, so that neighbouring
// layers choose alike; null experts are its zero experts.
// Source: MoE++ (arXiv:2410.07348) section 3.2: G_j = g(x_j) + W_g G_(j-1), carried on before the softmax; first layer
// without the second term. normalise "sum" is the released rule (a zero expert's weight goes to the others), "none" the
// paper's. Copy and constant experts are experts of the bank like any other.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/gate.h"
#include "moe/routers/token_choice.h"

namespace polyphony::moe {
namespace {

class GatingResidualRouter final : public Router {
 public:
  explicit GatingResidualRouter(const RouterConfig& config)
      : config_(config), gate_(*this, config.num_experts + config.num_null, config.model_dim, config.gate_hidden) {
    const int64_t columns = config.num_experts + config.num_null;
    if (config.layer > 0) residual_ = register_parameter("residual", gate_weight(columns, columns));
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true,
            .weights_sum_to_one = config_.num_null == 0 && config_.scale == 1.0 && config_.normalise != "none",
            .carries_state = true};
  }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = with_residual(context, gate_.logits(with_jitter(context, config_.jitter)));
    auto routing = scored(context, allowed_of_token(context), logits_TE, "softmax");
    routing.state_TP = logits_TE;
    choose_with_nulls(routing, rank_of(context, config_), config_);
    return routing;
  }

 private:
  at::Tensor with_residual(const RoutingContext& context, const at::Tensor& logits_TE) const {
    if (!context.state_TP.defined() || !residual_.defined()) return logits_TE;
    check<ShapeError>(context.state_TP.sizes() == logits_TE.sizes(), "[router] state must be ", logits_TE.sizes(),
                      ", got ", context.state_TP.sizes());
    return logits_TE + gate_logits(context.state_TP, residual_);
  }

  RouterConfig config_;
  Gate gate_;
  at::Tensor residual_;
};

}  // namespace

RouterEntry gating_residual_router() {
  return {.summary = "top-k whose logits add a map of the layer before's, over true and zero experts",
          .source = "MoE++ (arXiv:2410.07348) 3.2",
          .options = {"experts_per_token", "num_null", "normalise", "routed_scaling_factor", "router_jitter_noise",
                      "gate_hidden"},
          .make = &make_of<GatingResidualRouter>};
}

}  // namespace polyphony::moe
