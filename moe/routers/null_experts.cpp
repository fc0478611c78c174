// SPDX-License-Identifier: Apache-2.0
// Null-expert router: top-k over E true and Z null experts, so that easy tokens spend fewer true experts.
// Source: AdaMoE (arXiv:2406.13233) section 3; normalise "sum" divides by the chosen true experts only. With "none" a
// chosen null keeps its share, so that the output shrinks (Uni-MoE-2.0, arXiv:2511.12609).
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/selection.h"
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
    Routing routing{.num_tokens = allowed_TE.size(0), .num_experts = config_.num_experts, .num_null = config_.num_null};
    const auto weight = null_weight_.defined() ? at::cat({weight_, null_weight_}) : weight_;
    routing.logits_TE = mask_logits(gate_logits(with_jitter(context, config_.jitter), weight), allowed_TE);
    routing.score_TE = score_of_logits(routing.logits_TE, "softmax");
    const auto chosen = choose_top(choice_scores(routing), rank_of(context, config_));
    // Rows of null experts stay for the losses, with weight 0: nothing is computed for them.
    const auto counts_TK = chosen.keep_TK & (chosen.expert_TK < config_.num_experts);
    const auto share_TK = routing.score_TE.gather(1, chosen.expert_TK).masked_fill(~counts_TK, 0);
    const auto weight_TK = normalise_weights(share_TK, config_.normalise);
    set_rows(routing, chosen, config_.scale == 1.0 ? weight_TK : weight_TK * config_.scale);
    return routing;
  }

 private:
  RouterConfig config_;
  at::Tensor weight_, null_weight_;
};

}  // namespace

std::shared_ptr<Router> make_null_experts_router(const RouterConfig& config) {
  check_router_sizes(config);
  check_weight_settings(config);
  check_one_of(config.score, {"softmax"}, "score of router 'null_experts'");
  check_one_of(config.weight_from, {"score"}, "weight_from of router 'null_experts'");
  refuse_topk_settings(config);
  return std::make_shared<NullExpertsRouter>(config);
}

}  // namespace polyphony::moe
