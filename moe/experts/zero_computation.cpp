// SPDX-License-Identifier: Apache-2.0
// Bank of gated MLPs and of experts that compute next to nothing: constant, copy and zero, in this order.
// Source: MoE++ (arXiv:2410.07348): zero gives 0, copy x, constant a0 x + a1 v with (a0, a1) =
// softmax(W_c x). What a chosen zero expert does to the other weights is the router's affair.
#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/combine_rows/combine_rows.h"
#include "core/ops/grouped_linear/grouped_linear.h"
#include "core/ops/permute_rows/permute_rows.h"
#include "moe/experts/entry.h"
#include "moe/experts/gated_mlp.h"

namespace polyphony::moe {
namespace {

class ZeroComputationBank final : public ExpertBank {
 public:
  explicit ZeroComputationBank(const ExpertBankConfig& c)
      : num_mlps_(c.num_experts - c.num_constant - c.num_copy - c.num_zero),
        num_constant_(c.num_constant),
        num_copy_(c.num_copy),
        num_zero_(c.num_zero),
        activation_(activation_of(c.activation)),
        dtype_(compute_dtype_of(c.compute_dtype)) {
    check<ConfigError>(num_mlps_ >= 0, "[moe] num_constant + num_copy + num_zero must be at most num_experts ",
                       c.num_experts, ", got ", c.num_experts - num_mlps_);
    const int64_t D = c.model_dim, F = c.expert_hidden;
    if (num_mlps_ > 0) {
      w13_E2FD_ = register_parameter("w13", expert_weight({num_mlps_, 2 * F, D}));
      w2_EDF_ = register_parameter("w2", expert_weight({num_mlps_, D, F}));
    }
    if (num_constant_ > 0) {
      mix_E2D_ = register_parameter("constant_mix", expert_weight({num_constant_, 2, D}));
      vector_ED_ = register_parameter("constant_vector", at::randn({num_constant_, D}));
    }
  }

  at::Tensor forward(const ExpertInput& input) override {
    const auto dtype = product_dtype(input.x_TD, dtype_);
    const auto x_TD = input.x_TD.to(dtype);
    at::Tensor y_TD = at::zeros_like(x_TD);
    if (num_mlps_ > 0) {
      const auto [plan, weight_N] = part_of(input.plan, input.weight_N, 0, num_mlps_);
      y_TD = ops::moe_experts(x_TD, plan, weight_N, w13_E2FD_.to(dtype), w2_EDF_.to(dtype), cast(input.shared, dtype),
                              activation_);
    } else {
      y_TD = add_shared(y_TD, input, activation_);
    }
    if (num_constant_ > 0) {
      const auto [plan, weight_N] = part_of(input.plan, input.weight_N, num_mlps_, num_constant_);
      const auto x_RD = ops::permute_rows(x_TD, plan);
      const auto share_R2 = ops::grouped_linear(x_RD, plan, mix_E2D_.to(dtype)).softmax(1);
      const auto vector_RD = vector_ED_.to(dtype).index_select(0, plan.expert_R);
      const auto mixed_RD = share_R2.narrow(1, 0, 1) * x_RD + share_R2.narrow(1, 1, 1) * vector_RD;
      y_TD = y_TD + ops::combine_rows(mixed_RD, weight_N, plan);
    }
    if (num_copy_ > 0) {
      const auto [plan, weight_N] = part_of(input.plan, input.weight_N, num_mlps_ + num_constant_, num_copy_);
      y_TD = y_TD + ops::combine_rows(ops::permute_rows(x_TD, plan), weight_N, plan);
    }
    return y_TD.to(input.x_TD.scalar_type());
  }

  at::Tensor cost_E() const override {
    return at::cat(
        {at::ones({num_mlps_}, at::kDouble), at::zeros({num_constant_ + num_copy_ + num_zero_}, at::kDouble)});
  }

 private:
  int64_t num_mlps_, num_constant_, num_copy_, num_zero_;
  ops::Activation activation_;
  at::ScalarType dtype_;
  at::Tensor w13_E2FD_, w2_EDF_, mix_E2D_, vector_ED_;
};

}  // namespace

ExpertBankEntry zero_computation_bank() {
  return {.summary = "gated MLPs, then experts that cost nothing: constant, copy, zero",
          .source = "MoE++ (arXiv:2410.07348)",
          .options = {"expert_hidden", "activation", "num_zero", "num_copy", "num_constant"},
          .make = &bank_of<ZeroComputationBank>};
}

}  // namespace polyphony::moe
