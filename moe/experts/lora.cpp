// SPDX-License-Identifier: Apache-2.0
// Bank whose experts are one shared gated MLP, each with low-rank changes of its own to both matrices.
// Source: LoRA (arXiv:2106.09685) section 4.1; as routed experts MixLoRA (arXiv:2404.15159). The shared
// products run once a token. B starts at 0, so that every expert starts as the base.
#include <ATen/ATen.h>

#include "core/ops/combine_rows/combine_rows.h"
#include "core/ops/grouped_linear/grouped_linear.h"
#include "core/ops/linear/linear.h"
#include "core/ops/permute_rows/permute_rows.h"
#include "moe/experts/entry.h"
#include "moe/experts/gated_mlp.h"

namespace polyphony::moe {
namespace {

class LoraBank final : public ExpertBank {
 public:
  explicit LoraBank(const ExpertBankConfig& c)
      : scale_(c.lora_alpha / static_cast<double>(c.lora_rank)),
        activation_(activation_of(c.activation)),
        dtype_(compute_dtype_of(c.compute_dtype)) {
    const int64_t E = c.num_experts, D = c.model_dim, F = c.expert_hidden, r = c.lora_rank;
    w13_2FD_ = register_parameter("w13", expert_weight({2 * F, D}), /*requires_grad=*/!c.freeze_base);
    w2_DF_ = register_parameter("w2", expert_weight({D, F}), /*requires_grad=*/!c.freeze_base);
    a13_ErD_ = register_parameter("lora_a13", expert_weight({E, r, D}));
    b13_E2Fr_ = register_parameter("lora_b13", at::zeros({E, 2 * F, r}));
    a2_ErF_ = register_parameter("lora_a2", expert_weight({E, r, F}));
    b2_EDr_ = register_parameter("lora_b2", at::zeros({E, D, r}));
  }

  at::Tensor forward(const ExpertInput& input) override {
    const auto dtype = product_dtype(input.x_TD, dtype_);
    const auto& plan = input.plan;
    const auto x_TD = input.x_TD.to(dtype);
    const auto low_rank = [&](const at::Tensor& x_RI, const at::Tensor& a_ErI, const at::Tensor& b_EOr) {
      return ops::grouped_linear(ops::grouped_linear(x_RI, plan, a_ErI.to(dtype)), plan, b_EOr.to(dtype)) * scale_;
    };
    const auto base_T2F = ops::linear(x_TD, w13_2FD_.to(dtype));
    const auto h_R2F = ops::permute_rows(base_T2F, plan) + low_rank(ops::permute_rows(x_TD, plan), a13_ErD_, b13_E2Fr_);
    const auto act_RF = ops::gated_activation(h_R2F, activation_);
    const auto y_RD = ops::linear(act_RF, w2_DF_.to(dtype)) + low_rank(act_RF, a2_ErF_, b2_EDr_);
    const auto y_TD = add_shared(ops::combine_rows(y_RD, input.weight_N, plan), input, activation_);
    return y_TD.to(input.x_TD.scalar_type());
  }

  at::Tensor cost_E() const override { return at::ones({a13_ErD_.size(0)}, at::kDouble); }

 private:
  double scale_;
  ops::Activation activation_;
  at::ScalarType dtype_;
  at::Tensor w13_2FD_, w2_DF_, a13_ErD_, b13_E2Fr_, a2_ErF_, b2_EDr_;
};

}  // namespace

ExpertBankEntry lora_bank() {
  return {.summary = "one gated MLP for all experts, each with low-rank changes of its own",
          .source = "LoRA (arXiv:2106.09685) 4.1; MixLoRA (arXiv:2404.15159)",
          .options = {"expert_hidden", "activation", "lora_rank", "lora_alpha", "freeze_base"},
          .make = &bank_of<LoraBank>};
}

}  // namespace polyphony::moe
