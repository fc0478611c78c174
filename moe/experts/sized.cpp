// SPDX-License-Identifier: Apache-2.0
// Bank of gated MLPs of unequal widths: easy tokens may go to small experts.
// Source: HMoE (arXiv:2408.10681): arithmetic or geometric sizes. Experts of one width are one fused
// operation; the sum over the widths goes in the order of the experts.
#include <ATen/ATen.h>

#include <cmath>

#include "core/check.h"
#include "moe/experts/entry.h"
#include "moe/experts/gated_mlp.h"

namespace polyphony::moe {
namespace {

std::vector<int64_t> widths_of(const ExpertBankConfig& c) {
  const double first = static_cast<double>(c.expert_hidden);
  const double last = c.expert_hidden_end == 0 ? first : static_cast<double>(c.expert_hidden_end);
  std::vector<int64_t> widths;
  for (int64_t e = 0; e < c.num_experts; ++e) {
    const double share = c.num_experts == 1 ? 0.0 : static_cast<double>(e) / static_cast<double>(c.num_experts - 1);
    const double width =
        c.size_progression == "geometric" ? first * std::pow(last / first, share) : first + (last - first) * share;
    widths.push_back(std::max<int64_t>(1, std::llround(width)));
  }
  return widths;
}

class SizedBank final : public ExpertBank {
 public:
  explicit SizedBank(const ExpertBankConfig& c)
      : activation_(activation_of(c.activation)), dtype_(compute_dtype_of(c.compute_dtype)), widths_(widths_of(c)) {
    for (int64_t e = 0; e < c.num_experts; e += runs_.back().count) {
      const int64_t F = widths_[static_cast<size_t>(e)];
      int64_t count = 1;
      while (e + count < c.num_experts && widths_[static_cast<size_t>(e + count)] == F) ++count;
      const auto suffix = "_" + std::to_string(runs_.size());
      runs_.push_back({.first = e,
                       .count = count,
                       .w13_E2FD = register_parameter("w13" + suffix, expert_weight({count, 2 * F, c.model_dim})),
                       .w2_EDF = register_parameter("w2" + suffix, expert_weight({count, c.model_dim, F}))});
    }
  }

  at::Tensor forward(const ExpertInput& input) override {
    const auto dtype = product_dtype(input.x_TD, dtype_);
    const auto x_TD = input.x_TD.to(dtype);
    at::Tensor y_TD;
    for (const auto& run : runs_) {
      const auto [plan, weight_N] = part_of(input.plan, input.weight_N, run.first, run.count);
      const auto shared = y_TD.defined() ? std::nullopt : cast(input.shared, dtype);
      const auto part_TD =
          ops::moe_experts(x_TD, plan, weight_N, run.w13_E2FD.to(dtype), run.w2_EDF.to(dtype), shared, activation_);
      y_TD = y_TD.defined() ? y_TD + part_TD : part_TD;
    }
    return y_TD.to(input.x_TD.scalar_type());
  }

  at::Tensor cost_E() const override {
    const auto width_E = at::tensor(widths_, at::kLong).to(at::kDouble);
    return width_E / width_E.max();
  }

 private:
  struct Run {
    int64_t first, count;
    at::Tensor w13_E2FD, w2_EDF;
  };

  ops::Activation activation_;
  at::ScalarType dtype_;
  std::vector<int64_t> widths_;
  std::vector<Run> runs_;
};

}  // namespace

ExpertBankEntry sized_bank() {
  return {.summary = "gated MLPs whose widths go from expert_hidden to expert_hidden_end",
          .source = "HMoE (arXiv:2408.10681)",
          .options = {"expert_hidden", "activation", "expert_hidden_end", "size_progression"},
          .make = &bank_of<SizedBank>};
}

}  // namespace polyphony::moe
