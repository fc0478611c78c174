// SPDX-License-Identifier: Apache-2.0
// Mixture of depths: a share of the tokens enters the layer, where it is routed top-k; the others pass it by.
// Sources: Mixture-of-Depths (arXiv:2404.02258) section 3; MoMa (arXiv:2407.21770) 2.3: sigmoid score, which multiplies
// the output and so puts the choice on the gradient's way. inference "predictor" decides for each token alone outside
// training. This router skips the experts; attention before them sees all tokens.
#include <ATen/ATen.h>

#include <limits>

#include "moe/routers/competition.h"
#include "moe/routers/entry.h"
#include "moe/routers/predictor.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class MixtureOfDepthsRouter final : public Router {
 public:
  explicit MixtureOfDepthsRouter(const RouterConfig& config) : config_(config) {
    check_weight_settings(config);
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
    depth_weight_ = register_parameter("depth_weight", gate_weight(1, config.model_dim));
    if (config.inference == "predictor")
      predictor_ =
          register_module("predictor", std::make_shared<Predictor>(PredictorOptions{.dim = config.model_dim,
                                                                                    .outputs = 1,
                                                                                    .hidden = config.predictor_hidden,
                                                                                    .decay = config.predictor_decay}));
  }

  RouterTraits traits() const override {
    return {.skips_tokens = true, .causal = predictor_ != nullptr || config_.depth_capacity == 1.0};
  }

  Routing route(const RoutingContext& context) override {
    const auto depth_T1 = gate_logits(context.x_TD, depth_weight_);
    auto routing = token_choice(context, gate_logits(with_jitter(context, config_.jitter), weight_), config_);
    at::Tensor predicted_T1;
    if (predictor_) {
      predicted_T1 = predictor_->logits(context.x_TD);
      routing.predictor_TE = predicted_T1;
    }
    const auto enters_T = entering(depth_T1, predicted_T1, context).squeeze(1);
    const auto kept_N = enters_T.index_select(0, routing.token_N).nonzero().flatten();
    routing.token_N = routing.token_N.index_select(0, kept_N);
    routing.expert_N = routing.expert_N.index_select(0, kept_N);
    routing.weight_N =
        routing.weight_N.index_select(0, kept_N) * depth_T1.sigmoid().squeeze(1).index_select(0, routing.token_N);
    return routing;
  }

 private:
  // bool (T, 1)
  at::Tensor entering(const at::Tensor& depth_T1, const at::Tensor& predicted_T1, const RoutingContext& context) {
    if (predicted_T1.defined() && !context.training) return predictor_->chosen(predicted_T1);
    const auto pool_T = pool_of_token(context, config_.scope);
    const int64_t pools = pool_T.size(0) > 0 ? pool_T.max().item<int64_t>() + 1 : 1;
    const auto count_P = at::bincount(pool_T, {}, pools).to(at::kDouble);
    const auto capacity_P1 = (count_P * config_.depth_capacity - 1e-9).ceil().to(at::kLong).unsqueeze(1);
    const auto won_T1 = table_of_rows(best_tokens(depth_T1.detach(), pool_T, capacity_P1), depth_T1.size(0), 1);
    if (predicted_T1.defined()) predictor_->follow(predicted_T1, won_T1);
    return won_T1;
  }

  RouterConfig config_;
  at::Tensor weight_, depth_weight_;
  std::shared_ptr<Predictor> predictor_;
};

}  // namespace

RouterEntry mixture_of_depths_router() {
  return {
      .summary = "a share of the tokens is routed top-k, the others pass the layer by",
      .source = "Mixture-of-Depths (arXiv:2404.02258) 3; MoMa (arXiv:2407.21770) 2.3",
      .options = {"experts_per_token", "score", "weight_from", "normalise", "routed_scaling_factor",
                  "router_jitter_noise", "depth_capacity", "scope", "inference", "predictor_hidden", "predictor_decay"},
      .make = &make_of<MixtureOfDepthsRouter>};
}

}  // namespace polyphony::moe
