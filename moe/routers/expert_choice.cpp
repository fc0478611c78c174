// SPDX-License-Identifier: Apache-2.0
// Expert-choice router: each expert takes its best tokens among those whose modality may use it, in the batch or in
// each sample; a predictor may stand in outside training, which makes the routing causal. Sources: MoMa
// (arXiv:2407.21770) 2.2, 2.4: sigmoid scores within modality groups, auxiliary routers; Expert Choice
// (arXiv:2202.09368): softmax scores over one group; EC-DiT (arXiv:2410.02098): within one image; DiffMoE
// (arXiv:2503.14487): over the whole batch, with a capacity predictor.
#include <ATen/ATen.h>

#include <limits>

#include "moe/routers/competition.h"
#include "moe/routers/entry.h"
#include "moe/routers/predictor.h"

namespace polyphony::moe {
namespace {

class ExpertChoiceRouter final : public Router {
 public:
  explicit ExpertChoiceRouter(const RouterConfig& config) : config_(config) {
    check_one_of(config.score, {"sigmoid", "softmax"}, "score of expert choice");
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
    if (config.inference == "predictor")
      predictor_ =
          register_module("predictor", std::make_shared<Predictor>(PredictorOptions{.dim = config.model_dim,
                                                                                    .outputs = config.num_experts,
                                                                                    .hidden = config.predictor_hidden,
                                                                                    .decay = config.predictor_decay}));
  }

  RouterTraits traits() const override { return {.skips_tokens = true, .causal = predictor_ != nullptr}; }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = gate_logits(with_jitter(context, config_.jitter), weight_);
    auto routing = scored(context, allowed_of_token(context), logits_TE, config_.score);
    if (predictor_) routing.predictor_TE = predictor_->logits(context.x_TD);
    const auto rows = predictor_ && !context.training ? predicted(routing, context) : won(routing, context);
    if (predictor_ && context.training)
      predictor_->follow(routing.predictor_TE, table_of_rows(rows, routing.num_tokens, routing.num_experts));
    routing.expert_N = rows.expert_N;
    routing.token_N = rows.token_N;
    const auto weight_N = routing.score_TE.index({routing.token_N, routing.expert_N});
    routing.weight_N = config_.scale == 1.0 ? weight_N : weight_N * config_.scale;
    return routing;
  }

 private:
  Winners won(const Routing& routing, const RoutingContext& context) const {
    const auto pool_T = pool_of_token(context, config_.scope);
    // A rank override replaces the configured number of experts of a token.
    const double per_token =
        context.experts_per_token ? static_cast<double>(rank_of(context, config_)) : config_.capacity_factor;
    return best_tokens(choice_scores(routing), pool_T, even_capacity(context, pool_T, per_token));
  }

  Winners predicted(const Routing& routing, const RoutingContext& context) const {
    const auto allowed_TE = ~routing.logits_TE.isneginf();
    auto chosen_TE = predictor_->chosen(routing.predictor_TE) & allowed_TE;
    if (context.experts_per_token) {
      const auto choice_TE =
          routing.predictor_TE.detach().masked_fill(~allowed_TE, -std::numeric_limits<double>::infinity());
      const auto expert_TK = top_indices(choice_TE, rank_of(context, config_));
      chosen_TE = at::zeros_like(chosen_TE).scatter_(1, expert_TK, true) & allowed_TE;
    }
    const auto row_N2 = chosen_TE.nonzero();
    return {.token_N = row_N2.select(1, 0).contiguous(), .expert_N = row_N2.select(1, 1).contiguous()};
  }

  RouterConfig config_;
  at::Tensor weight_;
  std::shared_ptr<Predictor> predictor_;
};

RouterEntry entry(std::string summary, std::string source, RouterConfig defaults) {
  return {.summary = std::move(summary),
          .source = std::move(source),
          .options = {"capacity_factor", "score", "routed_scaling_factor", "router_jitter_noise", "scope", "inference",
                      "predictor_hidden", "predictor_decay"},
          .defaults = std::move(defaults),
          .make = &make_of<ExpertChoiceRouter>};
}

}  // namespace

RouterEntry expert_choice_router() {
  return entry("each expert takes its best tokens within its modalities; fixed load, not causal",
               "MoMa (arXiv:2407.21770) 2.2; Expert Choice (arXiv:2202.09368)", {.score = "sigmoid"});
}

RouterEntry causal_expert_choice_router() {
  return entry("expert choice while training; auxiliary routers decide for each token alone afterwards",
               "MoMa (arXiv:2407.21770) 2.4", {.score = "sigmoid", .inference = "predictor"});
}

RouterEntry image_choice_router() {
  return entry("each expert takes its best tokens of every image", "EC-DiT (arXiv:2410.02098) 3",
               {.capacity_factor = 2.0, .scope = "sample"});
}

RouterEntry pool_choice_router() {
  return entry("each expert takes its best tokens of the whole batch; a capacity predictor decides afterwards",
               "DiffMoE (arXiv:2503.14487) 3", {.inference = "predictor", .predictor_decay = 0.95});
}

}  // namespace polyphony::moe
