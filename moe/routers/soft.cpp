// SPDX-License-Identifier: Apache-2.0
// Soft router: experts compute a few mixtures of all tokens of a sample, and each token gets a mixture of the results.
// Source: Soft MoE (arXiv:2308.00951) section 2, with the normalisation of 2.3: token and slot directions, one learned
// scale. A slot mixes only tokens whose modality may use its expert, and only those of one sample. The rows tell each
// expert's share of a token's output; the layer computes by `slots`.
#include <ATen/ATen.h>

#include <limits>

#include "core/check.h"
#include "moe/routers/competition.h"
#include "moe/routers/entry.h"

namespace polyphony::moe {
namespace {

constexpr double kOut = -std::numeric_limits<double>::infinity();

// Softmax along an axis in which everything may be out: zeros there.
at::Tensor softmax_or_zero(const at::Tensor& logits, const at::Tensor& in, int64_t axis) {
  const auto any = in.any(axis, /*keepdim=*/true);
  return logits.masked_fill(~in & any, kOut).softmax(axis) * in;
}

class SoftRouter final : public Router {
 public:
  explicit SoftRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts * config.slots_per_expert, config.model_dim));
    scale_ = register_parameter("scale", at::ones({1}));
  }

  RouterTraits traits() const override { return {.weights_sum_to_one = true, .causal = false}; }

  Routing route(const RoutingContext& context) override {
    const auto allowed_TE = allowed_of_token(context);
    const int64_t T = allowed_TE.size(0), E = config_.num_experts, P = config_.slots_per_expert;
    const auto direction = [](const at::Tensor& rows) { return rows / rows.norm(2, 1, true).clamp_min(1e-6); };
    const auto x_TD = context.x_TD.to(gate_dtype(context.x_TD));
    const auto logits_TS = gate_logits(direction(x_TD), direction(weight_)) * scale_;
    const auto allowed_TS = allowed_TE.repeat_interleave(P, 1);
    const auto combine_TS = softmax_or_zero(logits_TS, allowed_TS, 1);

    auto routing = scored(context, allowed_TE, logits_TS.reshape({T, E, P}).logsumexp(2), "softmax");
    Chosen chosen = choose_top(choice_scores(routing), E);
    if (context.experts_per_token) chosen = choose_top(choice_scores(routing), rank_of(context, config_));
    const auto weight_TE = combine_TS.reshape({T, E, P}).sum(2).gather(1, chosen.expert_TK);
    // Without slots of their own, fewer experts than all are an ordinary choice of rows.
    if (context.experts_per_token) {
      set_rows(routing, chosen, weight_TE / weight_TE.sum(1, /*keepdim=*/true));
      return routing;
    }
    set_rows(routing, chosen, weight_TE);
    routing.slots = slots_of_samples(context, logits_TS, allowed_TS, combine_TS);
    return routing;
  }

 private:
  SlotMixing slots_of_samples(const RoutingContext& context, const at::Tensor& logits_TS, const at::Tensor& allowed_TS,
                              const at::Tensor& combine_TS) const {
    const int64_t T = logits_TS.size(0), S = logits_TS.size(1);
    const auto sample_T = pool_of_token(context, "sample");
    const int64_t B = T > 0 ? sample_T.max().item<int64_t>() + 1 : 1;
    // Slots of sample b are columns b S to (b + 1) S.
    const auto own_TB1 = (sample_T.unsqueeze(1) == at::arange(B, sample_T.options())).unsqueeze(2);
    const auto in_TBS = (own_TB1 & allowed_TS.unsqueeze(1)).reshape({T, B * S});
    const auto mix_TBS = T > 0 ? softmax_or_zero(logits_TS.repeat({1, B}), in_TBS, 0) : logits_TS.repeat({1, B});
    const auto expert_S =
        at::arange(config_.num_experts, sample_T.options()).repeat_interleave(config_.slots_per_expert);
    return {.mix_ST = mix_TBS.t(),
            .combine_TS = (combine_TS.unsqueeze(1) * own_TB1).reshape({T, B * S}),
            .slot_expert_S = expert_S.repeat({B})};
  }

  RouterConfig config_;
  at::Tensor weight_, scale_;
};

}  // namespace

RouterEntry soft_router() {
  return {.summary = "experts compute mixtures of a sample's tokens, and tokens get mixtures of the results",
          .source = "Soft MoE (arXiv:2308.00951) 2",
          .options = {"slots_per_expert"},
          .make = &make_of<SoftRouter>};
}

}  // namespace polyphony::moe
