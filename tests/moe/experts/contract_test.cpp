// SPDX-License-Identifier: Apache-2.0
// The contract of every expert kind in the registry; a new kind gets these tests for free.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "moe/expert_bank.h"

namespace polyphony::moe {
namespace {

constexpr int64_t kTokens = 10, kWidth = 8, kExperts = 4;

class ExpertBankContract : public testing::TestWithParam<std::string> {
 protected:
  ExpertBankContract() {
    at::manual_seed(2);
    bank = make_expert_bank({.name = GetParam(), .model_dim = kWidth, .num_experts = kExperts, .expert_hidden = 6});
    x_TD = at::randn({kTokens, kWidth});
    token_N = at::arange(kTokens).repeat_interleave(2);
    expert_N = at::stack({at::arange(kTokens) % 3, at::full({kTokens}, 3, at::kLong)}, 1).flatten();
    weight_N = at::rand({2 * kTokens}) + 0.1;
    plan = ops::make_dispatch_plan(token_N, expert_N, kTokens, kExperts);
  }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& weight) {
    return bank->forward({.x_TD = x, .plan = plan, .weight_N = weight});
  }

  std::shared_ptr<ExpertBank> bank;
  at::Tensor x_TD, token_N, expert_N, weight_N;
  ops::DispatchPlan plan;
};

TEST_P(ExpertBankContract, KeepsShapeAndTypeOfTheTokens) {
  const auto y = forward(x_TD, weight_N);
  EXPECT_EQ(y.sizes(), x_TD.sizes());
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_TRUE(y.isfinite().all().item<bool>());
  EXPECT_EQ(forward(x_TD.to(at::kBFloat16), weight_N).scalar_type(), at::kBFloat16);
}

TEST_P(ExpertBankContract, IsLinearInTheCombineWeights) {
  EXPECT_TRUE(at::allclose(forward(x_TD, weight_N * 3), forward(x_TD, weight_N) * 3, 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(forward(x_TD, at::zeros_like(weight_N)), at::zeros_like(x_TD)));
}

TEST_P(ExpertBankContract, TreatsTokensIndependently) {
  const auto before = forward(x_TD, weight_N);
  auto changed = x_TD.clone();
  changed.select(0, 4).normal_();
  const auto after = forward(changed, weight_N);
  const auto others = at::arange(kTokens) != 4;
  EXPECT_TRUE(at::allclose(before.index({others}), after.index({others}), 0, 1e-6));
}

TEST_P(ExpertBankContract, AddsUpOneExpertAfterAnother) {
  auto sum = at::zeros_like(x_TD);
  for (int64_t e = 0; e < kExperts; ++e) {
    const auto rows = (expert_N == e).nonzero().flatten();
    const auto part =
        ops::make_dispatch_plan(token_N.index_select(0, rows), expert_N.index_select(0, rows), kTokens, kExperts);
    sum = sum + bank->forward({.x_TD = x_TD, .plan = part, .weight_N = weight_N.index_select(0, rows)});
  }
  EXPECT_TRUE(at::allclose(forward(x_TD, weight_N), sum, 1e-5, 1e-6));
}

TEST_P(ExpertBankContract, AddsTheSharedExpertOnceToEveryToken) {
  const ops::SharedExpert shared{.w13_2FD = at::randn({10, kWidth}), .w2_DF = at::randn({kWidth, 5})};
  const auto with = bank->forward({.x_TD = x_TD, .plan = plan, .weight_N = weight_N, .shared = shared});
  const auto h = at::matmul(x_TD, shared.w13_2FD.t()).chunk(2, -1);
  const auto dense = at::matmul(at::silu(h[0]) * h[1], shared.w2_DF.t());
  EXPECT_TRUE(at::allclose(with, forward(x_TD, weight_N) + dense, 1e-4, 1e-4));
}

TEST_P(ExpertBankContract, ComputesNothingForNoTokensAndZeroForNoRows) {
  const auto none = at::zeros({0}, at::kLong);
  const auto no_rows = ops::make_dispatch_plan(none, none, kTokens, kExperts);
  EXPECT_TRUE(
      at::equal(bank->forward({.x_TD = x_TD, .plan = no_rows, .weight_N = at::zeros({0})}), at::zeros_like(x_TD)));
  const auto no_tokens = ops::make_dispatch_plan(none, none, 0, kExperts);
  const auto y = bank->forward({.x_TD = x_TD.narrow(0, 0, 0), .plan = no_tokens, .weight_N = at::zeros({0})});
  EXPECT_EQ(y.sizes(), at::IntArrayRef({0, kWidth}));
}

TEST_P(ExpertBankContract, SendsGradientsToTokensWeightsAndParameters) {
  const auto x = x_TD.clone().requires_grad_(), weight = weight_N.clone().requires_grad_();
  forward(x, weight).square().sum().backward();
  for (const auto& tensor : {x, weight}) EXPECT_GT(tensor.grad().abs().sum().item<float>(), 0);
  for (const auto& parameter : bank->named_parameters()) {
    EXPECT_TRUE(parameter->grad().isfinite().all().item<bool>()) << parameter.key();
    EXPECT_GT(parameter->grad().abs().sum().item<float>(), 0) << parameter.key();
  }
}

std::vector<std::string> bank_names() {
  std::vector<std::string> names;
  for (const auto& row : expert_bank_infos()) names.push_back(row.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Registry, ExpertBankContract, testing::ValuesIn(bank_names()),
                         [](const auto& param) { return param.param; });

TEST(ExpertBankRegistry, NamesTheKnownKindsWhenAskedForAnotherOne) {
  try {
    make_expert_bank({.name = "nonesuch", .model_dim = 1, .num_experts = 1});
    FAIL() << "expected ConfigError";
  } catch (const ConfigError& error) {
    for (const auto& row : expert_bank_infos()) EXPECT_NE(std::string(error.what()).find(row.name), std::string::npos);
  }
}

}  // namespace
}  // namespace polyphony::moe
