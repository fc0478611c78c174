// SPDX-License-Identifier: Apache-2.0
// Patch-wise selection: tokens choose their K best experts, and each expert keeps its strongest tokens of every sample.
// Source: Union of Experts (arXiv:2503.02495), data selection, and its code. An expert has room for capacity_factor * K
// times its even share of a sample, so that capacity_factor >= E / K drops nothing. combine: "gate" weighs each expert
// by its own gate; the released "none" gives the gate no gradient, "sum" weighs all by the sum of the chosen.
#include <ATen/ATen.h>

#include <limits>

#include "moe/routers/competition.h"
#include "moe/routers/entry.h"

namespace polyphony::moe {
namespace {

class PatchSelectRouter final : public Router {
 public:
  explicit PatchSelectRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
  }

  RouterTraits traits() const override {
    const bool has_room = config_.capacity_factor * static_cast<double>(config_.experts_per_token) >=
                          static_cast<double>(config_.num_experts);
    return {.skips_tokens = !has_room, .causal = has_room, .learned = config_.combine != "none"};
  }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = gate_logits(with_jitter(context, config_.jitter), weight_);
    auto routing = scored(context, allowed_of_token(context), logits_TE, "softmax");
    const int64_t K = rank_of(context, config_);
    const auto choice_TE = choice_scores(routing);
    const auto wants_TE =
        at::zeros_like(choice_TE, at::kBool).scatter_(1, top_indices(choice_TE, K), true) & ~choice_TE.isneginf();
    const auto pool_T = pool_of_token(context, "sample");
    const auto capacity_PE = even_capacity(context, pool_T, config_.capacity_factor * static_cast<double>(K));
    const auto rows =
        best_tokens(choice_TE.masked_fill(~wants_TE, -std::numeric_limits<double>::infinity()), pool_T, capacity_PE);
    routing.token_N = rows.token_N;
    routing.expert_N = rows.expert_N;
    routing.weight_N = weights(routing);
    return routing;
  }

 private:
  at::Tensor weights(const Routing& routing) const {
    const auto gate_N = routing.score_TE.index({routing.token_N, routing.expert_N});
    if (config_.combine == "none") return at::ones_like(gate_N.detach());
    if (config_.combine == "gate") return gate_N;
    const auto sum_T = at::zeros({routing.num_tokens}, gate_N.options()).index_add(0, routing.token_N, gate_N);
    return sum_T.index_select(0, routing.token_N);
  }

  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

RouterEntry patch_select_router() {
  return {.summary = "top-k of which each expert keeps its strongest tokens of every sample",
          .source = "Union of Experts (arXiv:2503.02495), patch-wise selection",
          .options = {"experts_per_token", "capacity_factor", "combine", "router_jitter_noise"},
          .make = &make_of<PatchSelectRouter>};
}

}  // namespace polyphony::moe
