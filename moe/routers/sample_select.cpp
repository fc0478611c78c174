// SPDX-License-Identifier: Apache-2.0
// Sample-wise selection: one gate decision for all tokens of a sample.
// Source: Union of Experts (arXiv:2503.02495), expert selection: softmax of a linear map of the flattened sample, which
// needs samples of one size (sample_tokens); 0 takes the mean of the tokens and any size.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/competition.h"
#include "moe/routers/entry.h"
#include "moe/routers/samples.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class SampleSelectRouter final : public Router {
 public:
  explicit SampleSelectRouter(const RouterConfig& config) : config_(config) {
    check_weight_settings(config);
    const int64_t tokens = std::max<int64_t>(1, config.sample_tokens);
    weight_ = register_parameter("weight", gate_weight(config.num_experts, tokens * config.model_dim));
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true,
            .weights_sum_to_one = weights_sum_to_one(config_),
            .causal = false,
            .permutation_equivariant = config_.sample_tokens == 0};
  }

  Routing route(const RoutingContext& context) override {
    const auto sample_T = pool_of_token(context, "sample");
    const auto logits_BE = gate_logits(
        config_.sample_tokens == 0 ? mean_of_samples(context.x_TD, sample_T) : flattened(context.x_TD, sample_T),
        weight_);
    return token_choice(context, logits_BE.index_select(0, sample_T), config_);
  }

 private:
  // (B, S D), tokens of a sample in their order.
  at::Tensor flattened(const at::Tensor& x_TD, const at::Tensor& sample_T) const {
    const int64_t S = config_.sample_tokens;
    const auto count_B = at::bincount(sample_T);
    check<ShapeError>((count_B == S).all().item<bool>(), "[sample_select_router] every sample must have sample_tokens ",
                      S, " tokens, got ", count_B.numel() > 0 ? count_B.max().item<int64_t>() : 0);
    const auto order_T = std::get<1>(sample_T.sort(/*stable=*/true, 0, /*descending=*/false));
    return x_TD.index_select(0, order_T).reshape({count_B.size(0), S * x_TD.size(1)});
  }

  RouterConfig config_;
  at::Tensor weight_;
};

}  // namespace

RouterEntry sample_select_router() {
  return {
      .summary = "top-k for whole samples: all tokens of one go to the same experts",
      .source = "Union of Experts (arXiv:2503.02495), sample-wise selection",
      .options = {"experts_per_token", "score", "weight_from", "normalise", "routed_scaling_factor", "sample_tokens"},
      .make = &make_of<SampleSelectRouter>};
}

}  // namespace polyphony::moe
