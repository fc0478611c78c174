// SPDX-License-Identifier: Apache-2.0
// Feed-forward bank: E gated MLPs of one width, computed by one fused operation.
// Source: gated linear units (arXiv:2002.05202); dropless grouped computation after MegaBlocks (arXiv:2211.15841).
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/experts/gated_mlp.h"

namespace polyphony::moe {
namespace {

class FeedForwardBank final : public ExpertBank {
 public:
  explicit FeedForwardBank(const ExpertBankConfig& c)
      : activation_(activation_of(c.activation)),
        dtype_(compute_dtype_of(c.compute_dtype)),
        w13_E2FD_(register_parameter("w13", expert_weight({c.num_experts, 2 * c.expert_hidden, c.model_dim}))),
        w2_EDF_(register_parameter("w2", expert_weight({c.num_experts, c.model_dim, c.expert_hidden}))) {}

  at::Tensor forward(const ExpertInput& input) override {
    std::optional<ops::SharedExpert> shared;
    if (input.shared) shared = {.w13_2FD = input.shared->w13_2FD.to(dtype_), .w2_DF = input.shared->w2_DF.to(dtype_)};
    const auto y_TD = ops::moe_experts(input.x_TD.to(dtype_), input.plan, input.weight_N, w13_E2FD_.to(dtype_),
                                       w2_EDF_.to(dtype_), shared, activation_);
    return y_TD.to(input.x_TD.scalar_type());
  }

 private:
  ops::Activation activation_;
  at::ScalarType dtype_;
  at::Tensor w13_E2FD_, w2_EDF_;
};

}  // namespace

std::shared_ptr<ExpertBank> make_feed_forward_bank(const ExpertBankConfig& config) {
  check<ConfigError>(config.expert_hidden >= 1, "[moe] expert_hidden must be at least 1, got ", config.expert_hidden);
  return std::make_shared<FeedForwardBank>(config);
}

}  // namespace polyphony::moe
