// SPDX-License-Identifier: Apache-2.0
// Uniform router: round-robin over the experts that the token's modality may use, equal weights, no parameters.
// The smallest router: copy it to start a new one, and use it where timing needs balanced experts.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {
namespace {

class UniformRouter final : public Router {
 public:
  explicit UniformRouter(const RouterConfig& config) : config_(config) {}

  RouterTraits traits() const override {
    return {
        .fixed_rows_per_token = true, .weights_sum_to_one = true, .permutation_equivariant = false, .learned = false};
  }

  Routing route(const RoutingContext& context) override {
    const auto allowed_TE = allowed_of_token(context);
    const int64_t T = allowed_TE.size(0), E = config_.num_experts, K = rank_of(context, config_);
    Routing routing{.num_tokens = T, .num_experts = E};
    // Row t holds the allowed experts first; slot k of token t takes number (t K + k) modulo how many there are.
    const auto allowed_first_TE = top_indices(allowed_TE.to(at::kByte), E);
    const auto count_T1 = allowed_TE.sum(1, /*keepdim=*/true);
    const auto slot_TK = at::arange(T * K, count_T1.options()).reshape({T, K});
    const auto expert_TK = allowed_first_TE.gather(1, slot_TK.remainder(count_T1.clamp_min(1)));
    const auto keep_TK = at::arange(K, count_T1.options()) < count_T1;
    const auto weight_TK = (1.0 / count_T1.clamp(1, K).to(at::kFloat)).expand({T, K});
    set_rows(routing, {.expert_TK = expert_TK, .keep_TK = keep_TK}, weight_TK);
    return routing;
  }

 private:
  RouterConfig config_;
};

}  // namespace

RouterEntry uniform_router() {
  return {.summary = "round-robin without parameters: the balanced baseline and the template for a new router",
          .source = "Polyphony, docs/adding_a_router.md",
          .options = {"experts_per_token"},
          .make = &make_of<UniformRouter>};
}

}  // namespace polyphony::moe
