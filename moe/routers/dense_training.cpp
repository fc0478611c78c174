// SPDX-License-Identifier: Apache-2.0
// Dense training, sparse inference: every expert learns from every token; afterwards the K best compute, or those whose
// probability passes a threshold.
// Source: DS-MoE (arXiv:2404.05567) sections 3.1 to 3.3; weights are not renormalised, so that K = E is the training.
#include <ATen/ATen.h>

#include "moe/routers/entry.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {
namespace {

class DenseTrainingRouter final : public Router {
 public:
  explicit DenseTrainingRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
  }

  RouterTraits traits() const override { return {.fixed_rows_per_token = config_.gate_threshold == 0.0}; }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = gate_logits(with_jitter(context, config_.jitter), weight_);
    auto routing = scored(context, allowed_of_token(context), logits_TE, "softmax");
    const bool dense = context.training && !context.experts_per_token;
    auto chosen = choose_top(choice_scores(routing), dense ? config_.num_experts : rank_of(context, config_));
    const auto weight_TK = routing.score_TE.gather(1, chosen.expert_TK);
    if (!dense && !context.experts_per_token) {
      const auto passes_TK = weight_TK.detach() >= config_.gate_threshold;
      passes_TK.narrow(1, 0, 1).fill_(true);
      chosen.keep_TK = chosen.keep_TK & passes_TK;
    }
    set_rows(routing, chosen, config_.scale == 1.0 ? weight_TK : weight_TK * config_.scale);
    return routing;
  }

 private:
  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

RouterEntry dense_training_router() {
  return {.summary = "all experts while training, the K best or those above a threshold afterwards",
          .source = "DS-MoE (arXiv:2404.05567) 3",
          .options = {"experts_per_token", "gate_threshold", "routed_scaling_factor", "router_jitter_noise"},
          .defaults = {.gate_threshold = 0.0},
          .make = &make_of<DenseTrainingRouter>};
}

}  // namespace polyphony::moe
