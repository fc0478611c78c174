// SPDX-License-Identifier: Apache-2.0
// Sparse-mixer router: experts one after another, each drawn among those close to the best that is left.
// Sources: Sparse Backpropagation (arXiv:2310.00811) section 3; GRIN (arXiv:2409.12136) section 2.2.
#include <ATen/ATen.h>

#include <limits>

#include "moe/routers/entry.h"
#include "moe/routers/mixer.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {
namespace {

class SparseMixerRouter final : public Router {
 public:
  explicit SparseMixerRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
  }

  // Each of the K weights is a share of its own competition.
  RouterTraits traits() const override { return {.fixed_rows_per_token = true}; }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = gate_logits(with_jitter(context, config_.jitter), weight_);
    auto routing = scored(context, allowed_of_token(context), logits_TE, "softmax");
    auto left_TE = routing.logits_TE;
    std::vector<at::Tensor> expert, weight, keep;
    for (int64_t k = 0; k < rank_of(context, config_); ++k) {
      const auto pick = mixer_pick(left_TE, config_.mixer_epsilon, context);
      left_TE = left_TE.scatter(1, pick.expert_T1, -std::numeric_limits<double>::infinity());
      expert.push_back(pick.expert_T1);
      weight.push_back(pick.weight_T1);
      keep.push_back(pick.keep_T1);
    }
    const auto weight_TK = at::cat(weight, 1);
    set_rows(routing, {.expert_TK = at::cat(expert, 1), .keep_TK = at::cat(keep, 1)},
             config_.scale == 1.0 ? weight_TK : weight_TK * config_.scale);
    return routing;
  }

 private:
  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

RouterEntry sparse_mixer_router() {
  return {.summary = "K experts drawn one after another among those close to the best, with an estimated gradient",
          .source = "Sparse Backpropagation (arXiv:2310.00811) 3; GRIN (arXiv:2409.12136) 2.2",
          .options = {"experts_per_token", "mixer_epsilon", "routed_scaling_factor", "router_jitter_noise"},
          .make = &make_of<SparseMixerRouter>};
}

}  // namespace polyphony::moe
