// SPDX-License-Identifier: Apache-2.0
// Feed-forward bank: E gated MLPs of one width, computed by one fused operation.
#include <ATen/ATen.h>

#include "moe/experts/entry.h"
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
    const auto dtype = product_dtype(input.x_TD, dtype_);
    const auto y_TD = ops::moe_experts(input.x_TD.to(dtype), input.plan, input.weight_N, w13_E2FD_.to(dtype),
                                       w2_EDF_.to(dtype), cast(input.shared, dtype), activation_);
    return y_TD.to(input.x_TD.scalar_type());
  }

  at::Tensor cost_E() const override { return at::ones({w2_EDF_.size(0)}, at::kDouble); }

 private:
  ops::Activation activation_;
  at::ScalarType dtype_;
  at::Tensor w13_E2FD_, w2_EDF_;
};

}  // namespace

ExpertBankEntry feed_forward_bank() {
  return {.summary = "gated MLPs of one width, grouped into one fused operation",
          .source = "GLU variants (arXiv:2002.05202); MegaBlocks (arXiv:2211.15841)",
          .options = {"expert_hidden", "activation"},
          .make = &bank_of<FeedForwardBank>};
}

}  // namespace polyphony::moe
