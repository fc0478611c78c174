// SPDX-License-Identifier: Apache-2.0
// Laplace router: experts have places among the tokens, and the nearest K share a token by softmax(-distance).
// Source: FuseMoE (arXiv:2402.03226) section 3.2; distance_power 2 is the Gaussian gate it is compared with.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/token_choice.h"

namespace polyphony::moe {
namespace {

class LaplaceRouter final : public Router {
 public:
  explicit LaplaceRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true, .weights_sum_to_one = config_.scale == 1.0};
  }

  Routing route(const RoutingContext& context) override {
    check<ShapeError>(context.x_TD.size(1) == weight_.size(1), "[router] x must be (T, ", weight_.size(1), "), got ",
                      context.x_TD.sizes());
    const auto x_TD = context.x_TD.to(gate_dtype(context.x_TD)), place_ED = weight_.to(x_TD.scalar_type());
    const auto square_TE =
        (x_TD.square().sum(1, /*keepdim=*/true) + place_ED.square().sum(1) - 2 * gate_logits(x_TD, place_ED))
            .clamp_min(0);
    return token_choice(context, config_.distance_power == 2 ? -square_TE : -(square_TE + kTiny).sqrt(), config_);
  }

 private:
  static constexpr double kTiny = 1e-20;  // the root has no slope at 0

  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

RouterEntry laplace_router() {
  return {.summary = "the K nearest experts, by softmax of the negative distance",
          .source = "FuseMoE (arXiv:2402.03226) 3.2",
          .options = {"experts_per_token", "distance_power", "routed_scaling_factor"},
          .make = &make_of<LaplaceRouter>};
}

}  // namespace polyphony::moe
