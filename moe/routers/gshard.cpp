// SPDX-License-Identifier: Apache-2.0
// GShard router: the best expert, and a second one that is kept by chance in proportion to its weight.
// Sources: GShard (arXiv:2006.16668) algorithm 1: kept with probability 2 g2 of the normalised pair, which is
// g2 / second_threshold at 0.5; DeepSpeed: second expert by Gumbel-max over the others, weights normalised over what
// stays. Outside training chance keeps all: an output must not change from call to call.
#include <ATen/ATen.h>

#include <limits>

#include "moe/routers/entry.h"
#include "moe/routers/noise.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class GShardRouter final : public Router {
 public:
  explicit GShardRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
  }

  RouterTraits traits() const override {
    const bool always_two = config_.second_policy == "all" || config_.second_policy == "random";
    return {.fixed_rows_per_token = always_two && config_.num_experts > 1,
            .weights_sum_to_one = weights_sum_to_one(config_)};
  }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = gate_logits(with_jitter(context, config_.jitter), weight_);
    if (context.experts_per_token) return token_choice(context, logits_TE, config_);
    auto routing = scored(context, allowed_of_token(context), logits_TE, "softmax");
    const auto first_T1 = top_indices(choice_scores(routing), 1);
    const auto second_T1 = top_indices(second_choice(routing, first_T1, context), 1);
    auto chosen = Chosen{.expert_TK = at::cat({first_T1, second_T1}, 1), .keep_TK = {}};
    const bool is_possible = config_.num_experts > 1;
    const auto second_exists_T1 = ~routing.logits_TE.gather(1, second_T1).isneginf() & is_possible;
    const auto share_T2 = routing.score_TE.detach().gather(1, chosen.expert_TK);
    const auto share_T1 = share_T2.narrow(1, 1, 1) / share_T2.sum(1, /*keepdim=*/true);
    chosen.keep_TK = at::cat({at::ones_like(second_exists_T1), second_exists_T1 & kept(share_T1, context)}, 1);
    set_rows(routing, chosen, weights_of_chosen(routing, chosen, config_));
    return routing;
  }

 private:
  at::Tensor second_choice(const Routing& routing, const at::Tensor& first_T1, const RoutingContext& context) const {
    const auto rest_TE = routing.logits_TE.detach().scatter(1, first_T1, -std::numeric_limits<double>::infinity());
    return context.training && config_.second_choice == "gumbel" ? rest_TE + gumbel_noise(rest_TE, context) : rest_TE;
  }

  // share_T1: the second expert's share of the pair's weight, at most 0.5 for the best second.
  at::Tensor kept(const at::Tensor& share_T1, const RoutingContext& context) const {
    if (config_.second_policy == "threshold") return share_T1 > config_.second_threshold;
    if (config_.second_policy == "none") return at::zeros_like(share_T1, at::kBool);
    if (config_.second_policy == "all" || !context.training) return at::ones_like(share_T1, at::kBool);
    return at::empty_like(share_T1).uniform_(0, 1, context.generator) < share_T1 / config_.second_threshold;
  }

  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

RouterEntry gshard_router() {
  return {.summary = "the best expert, and the second by chance in proportion to its weight",
          .source = "GShard (arXiv:2006.16668) algorithm 1",
          .options = {"second_choice", "second_policy", "second_threshold", "normalise", "routed_scaling_factor",
                      "router_jitter_noise"},
          .make = &make_of<GShardRouter>};
}

}  // namespace polyphony::moe
