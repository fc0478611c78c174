// SPDX-License-Identifier: Apache-2.0
// Cosine router: tokens and experts are compared as directions in a low-dimensional space, which keeps the hidden
// states from collapsing onto the experts' embeddings. Sources: X-MoE (arXiv:2204.09179) section 3; Tutel: logits =
// cosine * exp(min(scale, ln 100)), scale learned from ln(1 / 0.5).
#include <ATen/ATen.h>

#include <cmath>

#include "moe/routers/entry.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class CosineRouter final : public Router {
 public:
  explicit CosineRouter(const RouterConfig& config) : config_(config) {
    check_weight_settings(config);
    weight_ = register_parameter("weight", at::randn({config.num_experts, config.gate_dim}) * 0.01);
    projection_ = register_parameter("projection", gate_weight(config.gate_dim, config.model_dim));
    log_scale_ = register_parameter("log_scale", at::full({1}, std::log(2.0), at::kFloat));
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true, .weights_sum_to_one = weights_sum_to_one(config_)};
  }

  Routing route(const RoutingContext& context) override {
    const auto low_TP = gate_logits(with_jitter(context, config_.jitter), projection_);
    const auto cosine_TE = gate_logits(direction(low_TP), direction(weight_));
    return token_choice(context, cosine_TE * log_scale_.clamp_max(std::log(100.0)).exp(), config_);
  }

 private:
  static at::Tensor direction(const at::Tensor& rows) { return rows / rows.norm(2, 1, true).clamp_min(1e-12); }

  RouterConfig config_;
  at::Tensor weight_, projection_, log_scale_;
};

}  // namespace

RouterEntry cosine_router() {
  return {.summary = "top-k of cosines in a low-dimensional space, with a learned temperature",
          .source = "X-MoE (arXiv:2204.09179) 3; Tutel (arXiv:2206.03382)",
          .options = {"experts_per_token", "score", "weight_from", "normalise", "routed_scaling_factor",
                      "router_jitter_noise", "gate_dim"},
          .make = &make_of<CosineRouter>};
}

}  // namespace polyphony::moe
