// SPDX-License-Identifier: Apache-2.0
// Noisy top-k router: while training, normal noise on the logits lets other experts win now and then.
// Sources: Sparsely-Gated MoE (arXiv:1701.06538) 2.1: the noise's width softplus(x W_noise) is learned;
// V-MoE (arXiv:2106.05974): a fixed width, gate_noise / E.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/noise.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class NoisyTopKRouter final : public Router {
 public:
  explicit NoisyTopKRouter(const RouterConfig& config) : config_(config) {
    check_weight_settings(config);
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.model_dim));
    // From zero every expert starts with the same width, as in the paper.
    if (config.noise == "learned")
      noise_weight_ = register_parameter("noise_weight", at::zeros({config.num_experts, config.model_dim}));
    step_ = register_buffer("schedule_step", at::zeros({1}, at::kLong));
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true, .weights_sum_to_one = weights_sum_to_one(config_)};
  }

  Routing route(const RoutingContext& context) override {
    const auto logits_TE = gate_logits(context.x_TD, weight_);
    if (!context.training) return token_choice(context, logits_TE, config_);
    const auto width_TE = noise_width(context, logits_TE);
    const auto noise_TE = width_TE * at::empty_like(logits_TE.detach()).normal_(0, 1, context.generator);
    auto routing = token_choice(context, logits_TE + noise_TE, config_);
    routing.noise_TE = noise_TE;
    routing.noise_width_TE = width_TE;
    return routing;
  }

 private:
  at::Tensor noise_width(const RoutingContext& context, const at::Tensor& logits_TE) {
    const Schedule schedule{config_.gate_noise, config_.gate_noise_end, config_.gate_noise_steps};
    const double factor = schedule.at_step(schedule_step(context, step_));
    if (config_.noise == "learned") return factor * at::softplus(gate_logits(context.x_TD, noise_weight_));
    return at::full_like(logits_TE.detach(), factor / static_cast<double>(config_.num_experts));
  }

  RouterConfig config_;
  at::Tensor weight_, noise_weight_, step_;
};

}  // namespace

RouterEntry noisy_topk_router() {
  return {.summary = "top-k of logits with normal noise of a learned or fixed width while training",
          .source = "Sparsely-Gated MoE (arXiv:1701.06538) 2.1; V-MoE (arXiv:2106.05974)",
          .options = {"experts_per_token", "score", "weight_from", "normalise", "routed_scaling_factor", "noise",
                      "gate_noise", "gate_noise_end", "gate_noise_steps"},
          .make = &make_of<NoisyTopKRouter>};
}

}  // namespace polyphony::moe
