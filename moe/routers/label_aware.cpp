// SPDX-License-Identifier: Apache-2.0
// Label-aware router: tokens of unconditional samples go to an expert of their own; the others to the experts whose
// prototypes point most nearly their way, weighed by the cosine itself.
// Source: ProMoE (arXiv:2510.24711) section 3. The last expert is the unconditional one; a modality that may not use
// it, or nothing else, is routed among what it may use. Cosines can be negative.
#include <ATen/ATen.h>

#include <limits>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {
namespace {

class LabelAwareRouter final : public Router {
 public:
  explicit LabelAwareRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
  }

  RouterTraits traits() const override {
    return {.weights_not_negative = false, .needs_label = config_.null_label >= 0};
  }

  Routing route(const RoutingContext& context) override {
    const auto direction = [](const at::Tensor& rows) { return rows / rows.norm(2, 1, true).clamp_min(1e-6); };
    const auto x_TD = context.x_TD.to(gate_dtype(context.x_TD));
    auto routing =
        scored(context, allowed_of_token(context), gate_logits(direction(x_TD), direction(weight_)), "softmax");
    const auto own_TE = candidates(context, ~routing.logits_TE.isneginf());
    const auto choice_TE = routing.logits_TE.detach().masked_fill(~own_TE, -std::numeric_limits<double>::infinity());
    const auto chosen = choose_top(choice_TE, rank_of(context, config_));
    const auto cosine_TK = routing.logits_TE.gather(1, chosen.expert_TK);
    const auto is_null_T1 = null_tokens(context).unsqueeze(1) & (chosen.expert_TK == config_.num_experts - 1);
    const auto weight_TK = cosine_TK.masked_fill(~chosen.keep_TK, 0).masked_fill(is_null_T1, 1);
    set_rows(routing, chosen, config_.scale == 1.0 ? weight_TK : weight_TK * config_.scale);
    return routing;
  }

 private:
  at::Tensor null_tokens(const RoutingContext& context) const {
    const int64_t T = context.x_TD.size(0);
    if (config_.null_label < 0) return at::zeros({T}, context.allowed_ME.options());
    check<ShapeError>(context.label_T.defined() && context.label_T.dim() == 1 && context.label_T.size(0) == T,
                      "[label_aware_router] label must be i64 (", T, "): null_label is set");
    return context.label_T == config_.null_label;
  }

  // bool (T, E): the unconditional expert for unconditional tokens, the rest for the others; all that is allowed where
  // that leaves nothing.
  at::Tensor candidates(const RoutingContext& context, const at::Tensor& allowed_TE) const {
    const auto is_last_E =
        at::arange(config_.num_experts, allowed_TE.options().dtype(at::kLong)) == config_.num_experts - 1;
    if (config_.null_label < 0) return allowed_TE;
    const auto own_TE = allowed_TE & (is_last_E == null_tokens(context).unsqueeze(1));
    return at::where(own_TE.any(1, /*keepdim=*/true), own_TE, allowed_TE);
  }

  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

RouterEntry label_aware_router() {
  return {.summary = "an expert of their own for unconditional samples, the nearest prototypes for the others",
          .source = "ProMoE (arXiv:2510.24711) 3",
          .options = {"experts_per_token", "null_label", "routed_scaling_factor"},
          .defaults = {.experts_per_token = 1},
          .make = &make_of<LabelAwareRouter>};
}

}  // namespace polyphony::moe
