// SPDX-License-Identifier: Apache-2.0
// DSelect-k router: k selectors, each a binary code of smooth steps that names one expert once its steps saturate,
// mixed by a softmax; differentiable everywhere and exactly sparse in the end. Source: DSelect-k (arXiv:2106.03760)
// sections 3 and 4, the gate that sees the token; codes beyond E are cut off and the rest renormalised.
#include <ATen/ATen.h>

#include "moe/routers/entry.h"
#include "moe/routers/selection.h"
#include "moe/routers/smooth_step.h"

namespace polyphony::moe {
namespace {

int64_t bits_for(int64_t num_experts) {
  int64_t bits = 1;
  while ((int64_t{1} << bits) < num_experts) ++bits;
  return bits;
}

class DSelectKRouter final : public Router {
 public:
  explicit DSelectKRouter(const RouterConfig& config) : config_(config), bits_(bits_for(config.num_experts)) {
    // Small: every step starts on its slope.
    weight_ = register_parameter(
        "weight", gate_weight(config.experts_per_token * bits_, config.model_dim) * 0.1 * config.step_width);
    mixture_weight_ = register_parameter("mixture_weight", gate_weight(config.experts_per_token, config.model_dim));
  }

  RouterTraits traits() const override { return {.weights_sum_to_one = true}; }

  Routing route(const RoutingContext& context) override {
    const int64_t T = context.x_TD.size(0), E = config_.num_experts, K = config_.experts_per_token;
    const auto step_TKB = smooth_step(gate_logits(context.x_TD, weight_), config_.step_width).reshape({T, K, bits_});
    // (E, bits): expert e's code.
    const auto place_B = at::arange(bits_, step_TKB.options().dtype(at::kLong));
    const auto code_EB = at::bitwise_right_shift(at::arange(E, place_B.options()).unsqueeze(1), place_B)
                             .bitwise_and(1)
                             .to(step_TKB.scalar_type());
    const auto bit_TKEB = step_TKB.unsqueeze(2);
    const auto choice_TKE = (bit_TKEB * code_EB + (1 - bit_TKEB) * (1 - code_EB)).prod(-1);
    const auto mixture_TK1 = gate_logits(context.x_TD, mixture_weight_).softmax(-1).unsqueeze(2);
    std::optional<int64_t> most;
    if (context.experts_per_token) most = rank_of(context, config_);
    auto routing = route_by_gates(context, (choice_TKE * mixture_TK1).sum(1), most);
    if (T > 0) routing.own_loss = entropy_of(choice_TKE).sum(1).mean();
    return routing;
  }

 private:
  RouterConfig config_;
  int64_t bits_;
  at::Tensor weight_, mixture_weight_;
};

}  // namespace

RouterEntry dselect_k_router() {
  return {.summary = "K smooth binary codes that end up naming one expert each",
          .source = "DSelect-k (arXiv:2106.03760) 3, 4",
          .options = {"experts_per_token", "step_width"},
          .make = &make_of<DSelectKRouter>};
}

}  // namespace polyphony::moe
