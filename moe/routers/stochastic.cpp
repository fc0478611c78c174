// SPDX-License-Identifier: Apache-2.0
// Stochastic router: experts drawn by chance; two draws that must agree (losses: consistency) teach the experts to.
// Source: THOR (arXiv:2110.04260) section 3: while training one draw for the whole batch, each modality among its own
// experts; afterwards a draw for each token or sample. Outside training the draws come from hash_seed and the layer
// unless the context brings a generator: an output must not change from call to call. draw "average" is ours: all
// experts with equal weight.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "moe/routers/competition.h"
#include "moe/routers/entry.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {
namespace {

class StochasticRouter final : public Router {
 public:
  explicit StochasticRouter(const RouterConfig& config) : config_(config) {}

  RouterTraits traits() const override {
    const bool averages = config_.draw == "average";
    return {.fixed_rows_per_token = !averages,
            .weights_sum_to_one = true,
            .permutation_equivariant = config_.draw != "token",
            .learned = false};
  }

  Routing route(const RoutingContext& context) override {
    const auto allowed_TE = allowed_of_token(context);
    const int64_t T = allowed_TE.size(0), E = config_.num_experts;
    const bool averages = !context.training && config_.draw == "average" && !context.experts_per_token;
    const int64_t K = averages ? E : rank_of(context, config_);
    Routing routing{.num_tokens = T, .num_experts = E};
    const auto chosen =
        choose_top(chance(context).masked_fill(~allowed_TE, -std::numeric_limits<double>::infinity()), K);
    const auto count_T1 = allowed_TE.sum(1, /*keepdim=*/true).clamp(1, K);
    set_rows(routing, chosen, (1.0 / count_T1.to(at::kFloat)).expand({T, K}));
    return routing;
  }

 private:
  // (T, E): the highest are drawn.
  at::Tensor chance(const RoutingContext& context) const {
    const int64_t T = context.x_TD.size(0), E = config_.num_experts;
    auto generator = context.generator;
    if (!generator && !context.training)
      generator = at::make_generator<at::CPUGeneratorImpl>(
          static_cast<uint64_t>(config_.hash_seed) * 0x9e3779b97f4a7c15U + static_cast<uint64_t>(context.layer));
    const auto draw = [&](int64_t rows) {
      return at::empty({rows, E}, at::kDouble).uniform_(0, 1, generator).to(context.x_TD.device());
    };
    if (context.training) return draw(1).expand({T, E});
    if (config_.draw == "token") return draw(T);
    if (config_.draw == "average") return at::zeros({T, E}, context.x_TD.options().dtype(at::kDouble));
    const auto sample_T = pool_of_token(context, "sample");
    return draw(T > 0 ? sample_T.max().item<int64_t>() + 1 : 1).index_select(0, sample_T);
  }

  RouterConfig config_;
};

}  // namespace

RouterEntry stochastic_router() {
  return {.summary = "experts drawn by chance: one draw a batch while training, one a token or sample afterwards",
          .source = "THOR (arXiv:2110.04260) 3",
          .options = {"experts_per_token", "draw", "hash_seed"},
          .defaults = {.experts_per_token = 1},
          .make = &make_of<StochasticRouter>};
}

}  // namespace polyphony::moe
