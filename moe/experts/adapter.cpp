// SPDX-License-Identifier: Apache-2.0
// Bank of low-rank linear maps D -> r -> D, without a base: the layer's shared expert or whatever the layer is added
// to is the base. Source: routed LoRA, Open Knowledge (arXiv:2408.15915), with the factor alpha / r that
// its code leaves out; LoRAMoE (arXiv:2312.09979). B starts at 0.
#include <ATen/ATen.h>

#include "core/ops/combine_rows/combine_rows.h"
#include "core/ops/grouped_linear/grouped_linear.h"
#include "core/ops/permute_rows/permute_rows.h"
#include "moe/experts/entry.h"
#include "moe/experts/gated_mlp.h"

namespace polyphony::moe {
namespace {

class AdapterBank final : public ExpertBank {
 public:
  explicit AdapterBank(const ExpertBankConfig& c)
      : scale_(c.lora_alpha / static_cast<double>(c.lora_rank)),
        activation_(activation_of(c.activation)),
        dtype_(compute_dtype_of(c.compute_dtype)),
        a_ErD_(register_parameter("lora_a", expert_weight({c.num_experts, c.lora_rank, c.model_dim}))),
        b_EDr_(register_parameter("lora_b", at::zeros({c.num_experts, c.model_dim, c.lora_rank}))) {}

  at::Tensor forward(const ExpertInput& input) override {
    const auto dtype = product_dtype(input.x_TD, dtype_);
    const auto x_RD = ops::permute_rows(input.x_TD.to(dtype), input.plan);
    const auto low_Rr = ops::grouped_linear(x_RD, input.plan, a_ErD_.to(dtype));
    const auto y_RD = ops::grouped_linear(low_Rr, input.plan, b_EDr_.to(dtype)) * scale_;
    const auto y_TD = add_shared(ops::combine_rows(y_RD, input.weight_N, input.plan), input, activation_);
    return y_TD.to(input.x_TD.scalar_type());
  }

  at::Tensor cost_E() const override { return at::ones({a_ErD_.size(0)}, at::kDouble); }

 private:
  double scale_;
  ops::Activation activation_;  // of the shared expert
  at::ScalarType dtype_;
  at::Tensor a_ErD_, b_EDr_;
};

}  // namespace

ExpertBankEntry adapter_bank() {
  return {.summary = "low-rank linear maps, added to what the layer's base or shared expert gives",
          .source = "Open Knowledge (arXiv:2408.15915); LoRAMoE (arXiv:2312.09979)",
          .options = {"activation", "lora_rank", "lora_alpha"},
          .make = &bank_of<AdapterBank>};
}

}  // namespace polyphony::moe
