// SPDX-License-Identifier: Apache-2.0
// Null-expert router: top-k over E true and Z null experts, so that easy tokens spend fewer true experts.
// Source: AdaMoE (arXiv:2406.13233) section 3; normalise "sum" divides by the chosen true experts only. With "none" a
// chosen null keeps its share, so that the output shrinks (Uni-MoE-2.0, arXiv:2511.12609).
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class NullExpertsRouter final : public Router {
 public:
  explicit NullExpertsRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
    if (config.num_null > 0)
      null_weight_ = register_parameter("null_weight", gate_weight(config.num_null, config.model_dim));
  }

  // A token with null experts alone has weights that sum to 0, hence no promise of 1.
  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true, .weights_sum_to_one = config_.num_null == 0 && weights_sum_to_one(config_)};
  }

  Routing route(const RoutingContext& context) override {
    const auto allowed_TE = allowed_of_token(context);
    const auto weight = null_weight_.defined() ? at::cat({weight_, null_weight_}) : weight_;
    auto routing = scored(context, allowed_TE, gate_logits(with_jitter(context, config_.jitter), weight), "softmax");
    choose_with_nulls(routing, rank_of(context, config_), config_);
    return routing;
  }

 private:
  RouterConfig config_;
  at::Tensor weight_, null_weight_;
};

}  // namespace

RouterEntry null_experts_router() {
  return {.summary = "top-k over true and null experts: easier tokens spend fewer true ones",
          .source = "AdaMoE (arXiv:2406.13233) 3",
          .options = {"experts_per_token", "num_null", "normalise", "routed_scaling_factor", "router_jitter_noise"},
          .make = &make_of<NullExpertsRouter>};
}

}  // namespace polyphony::moe
