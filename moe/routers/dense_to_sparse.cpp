// SPDX-License-Identifier: Apache-2.0
// Dense-to-sparse router: a softmax with Gumbel noise whose temperature falls; experts whose weight drops below a
// threshold are left out, so training starts with all experts and ends with one or two.
// Source: EvoMoE (arXiv:2112.14397) section 3.3. Outside training the same softmax without noise at the temperature
// that training reached, not top-1 as in the released code. The best expert always stays, which that code lacks.
// gate_activation: the remedy of arXiv:2401.13875 for slow estimation under a temperature.
#include <ATen/ATen.h>

#include "moe/routers/entry.h"
#include "moe/routers/noise.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {
namespace {

class DenseToSparseRouter final : public Router {
 public:
  explicit DenseToSparseRouter(const RouterConfig& config) : config_(config) {
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
    step_ = register_buffer("schedule_step", at::zeros({1}, at::kLong));
  }

  RouterTraits traits() const override { return {}; }

  Routing route(const RoutingContext& context) override {
    const int64_t step = schedule_step(context, step_);
    const Schedule schedule{config_.temperature, config_.temperature_end, config_.temperature_steps,
                            config_.temperature_schedule == "exponential"};
    auto logits_TE = gate_logits(context.x_TD, weight_);
    if (config_.gate_activation == "tanh") logits_TE = logits_TE.tanh();
    const auto noisy_TE = context.training ? logits_TE + gumbel_noise(logits_TE, context) : logits_TE;
    auto routing = scored(context, allowed_of_token(context), noisy_TE / schedule.at_step(step), "softmax");
    const int64_t E = config_.num_experts;
    const auto expert_TE = top_indices(choice_scores(routing), E);
    const auto weight_TE = routing.score_TE.gather(1, expert_TE);
    const bool hard = config_.hard_after >= 0 && step >= config_.hard_after;
    const int64_t most = context.experts_per_token ? rank_of(context, config_) : hard ? 1 : E;
    const auto rank_E = at::arange(E, expert_TE.options());
    auto keep_TE = ~routing.logits_TE.gather(1, expert_TE).isneginf() & (rank_E < most);
    if (!context.experts_per_token) keep_TE = keep_TE & ((weight_TE.detach() > config_.gate_threshold) | (rank_E == 0));
    set_rows(routing, {.expert_TK = expert_TE, .keep_TK = keep_TE},
             config_.scale == 1.0 ? weight_TE : weight_TE * config_.scale);
    return routing;
  }

 private:
  RouterConfig config_;
  at::Tensor weight_, step_;
};

}  // namespace

RouterEntry dense_to_sparse_router() {
  return {.summary = "all experts at first; a falling temperature leaves fewer and fewer above a threshold",
          .source = "EvoMoE (arXiv:2112.14397) 3.3",
          .options = {"temperature", "temperature_end", "temperature_steps", "temperature_schedule", "gate_threshold",
                      "hard_after", "gate_activation", "routed_scaling_factor"},
          .make = &make_of<DenseToSparseRouter>};
}

}  // namespace polyphony::moe
