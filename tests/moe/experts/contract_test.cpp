// SPDX-License-Identifier: Apache-2.0
// The contract of every expert kind in the registry; a new kind gets these tests for free.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <sstream>

#include <torch/serialize.h>

#include "core/error.h"
#include "tests/moe/experts/bank_cases.h"
#include "tests/support/gradcheck.h"

namespace polyphony::moe {
namespace {

constexpr int64_t kTokens = 10;

class ExpertBankContract : public ::testing::TestWithParam<BankCase> {
 protected:
  ExpertBankContract() : bank(random_bank(GetParam().config)), rows(bank_rows(kTokens, kBankExperts)) {}

  at::Tensor forward(const at::Tensor& x, const at::Tensor& weight) {
    return bank->forward({.x_TD = x, .plan = rows.plan, .weight_N = weight});
  }
  at::Tensor forward(const BankRows& r) {
    return bank->forward({.x_TD = r.x_TD, .plan = r.plan, .weight_N = r.weight_N});
  }
  bool compressed() const { return GetParam().config.lsh_hashes > 0; }
  // Each row by itself: expert e on token t alone.
  at::Tensor dense_reference(const BankRows& r) {
    const at::NoGradGuard no_grad;
    const auto sum = at::zeros_like(r.x_TD);
    for (int64_t n = 0; n < r.token_N.size(0); ++n) {
      const auto t = r.token_N[n].item<int64_t>();
      const auto plan = ops::make_dispatch_plan(at::zeros({1}, at::kLong), r.expert_N.narrow(0, n, 1), 1, kBankExperts);
      sum.narrow(0, t, 1).add_(
          bank->forward({.x_TD = r.x_TD.narrow(0, t, 1), .plan = plan, .weight_N = r.weight_N.narrow(0, n, 1)}));
    }
    return sum;
  }

  std::shared_ptr<ExpertBank> bank;
  BankRows rows;
};

TEST_P(ExpertBankContract, KeepsShapeAndTypeOfTheTokens) {
  const auto y = forward(rows);
  EXPECT_EQ(y.sizes(), rows.x_TD.sizes());
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_TRUE(y.isfinite().all().item<bool>());
  EXPECT_EQ(forward(rows.x_TD.to(at::kBFloat16), rows.weight_N).scalar_type(), at::kBFloat16);
}

TEST_P(ExpertBankContract, IsLinearInTheCombineWeights) {
  EXPECT_TRUE(at::allclose(forward(rows.x_TD, rows.weight_N * 3), forward(rows) * 3, 1e-5, 1e-5));
  EXPECT_EQ(forward(rows.x_TD, at::zeros_like(rows.weight_N)).abs().max().item<float>(), 0);
}

TEST_P(ExpertBankContract, EqualsOneRowAfterAnother) {
  if (compressed()) GTEST_SKIP() << "rows of a bucket share one computation";
  EXPECT_TRUE(at::allclose(forward(rows), dense_reference(rows), 1e-4, 1e-4));
}

TEST_P(ExpertBankContract, ComputesInBf16WhatItComputesInF32) {
  auto config = GetParam().config;
  config.compute_dtype = "bfloat16";
  const auto half = random_bank(config);
  const auto y = half->forward({.x_TD = rows.x_TD, .plan = rows.plan, .weight_N = rows.weight_N});
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_LT((y - forward(rows)).norm().item<float>(), 0.03 * forward(rows).norm().item<float>());
}

TEST_P(ExpertBankContract, TreatsTokensIndependently) {
  if (compressed()) GTEST_SKIP() << "rows of a bucket share one computation";
  const auto before = forward(rows);
  auto changed = rows.x_TD.clone();
  changed.select(0, 4).normal_();
  const auto after = forward(changed, rows.weight_N);
  const auto others = at::arange(kTokens) != 4;
  EXPECT_TRUE(at::allclose(before.index({others}), after.index({others}), 0, 1e-6));
}

TEST_P(ExpertBankContract, AddsUpOneExpertAfterAnother) {
  auto sum = at::zeros_like(rows.x_TD);
  for (int64_t e = 0; e < kBankExperts; ++e) {
    const auto of_e = (rows.expert_N == e).nonzero().flatten();
    const auto part = ops::make_dispatch_plan(rows.token_N.index_select(0, of_e), rows.expert_N.index_select(0, of_e),
                                              kTokens, kBankExperts);
    sum = sum + bank->forward({.x_TD = rows.x_TD, .plan = part, .weight_N = rows.weight_N.index_select(0, of_e)});
  }
  EXPECT_TRUE(at::allclose(forward(rows), sum, 1e-4, 1e-4));
}

TEST_P(ExpertBankContract, AddsTheSharedExpertOnceToEveryToken) {
  const ops::SharedExpert shared{.w13_2FD = at::randn({10, kBankWidth}), .w2_DF = at::randn({kBankWidth, 5})};
  const auto with = bank->forward({.x_TD = rows.x_TD, .plan = rows.plan, .weight_N = rows.weight_N, .shared = shared});
  const auto h = at::matmul(rows.x_TD, shared.w13_2FD.t()).chunk(2, -1);
  const auto gate = GetParam().config.activation == "gelu" ? at::gelu(h[0], "tanh") : at::silu(h[0]);
  const auto dense = at::matmul(gate * h[1], shared.w2_DF.t());
  EXPECT_TRUE(at::allclose(with, forward(rows) + dense, 1e-4, 1e-4));
}

TEST_P(ExpertBankContract, ComputesNothingForNoTokensAndZeroForNoRows) {
  const auto none = at::zeros({0}, at::kLong);
  const auto no_rows = ops::make_dispatch_plan(none, none, kTokens, kBankExperts);
  const auto zero = bank->forward({.x_TD = rows.x_TD, .plan = no_rows, .weight_N = at::zeros({0})});
  EXPECT_EQ(zero.sizes(), rows.x_TD.sizes());
  EXPECT_EQ(zero.abs().max().item<float>(), 0);
  const auto no_tokens = ops::make_dispatch_plan(none, none, 0, kBankExperts);
  const auto y = bank->forward({.x_TD = rows.x_TD.narrow(0, 0, 0), .plan = no_tokens, .weight_N = at::zeros({0})});
  EXPECT_EQ(y.sizes(), at::IntArrayRef({0, kBankWidth}));
}

TEST_P(ExpertBankContract, ServesOneTokenAsItServesMany) {
  const auto one = bank_rows(1, kBankExperts);
  EXPECT_TRUE(at::allclose(forward(one), dense_reference(one), 1e-4, 1e-4));
}

TEST_P(ExpertBankContract, ServesTheOnlyExpertThereIs) {
  auto config = GetParam().config;
  config.num_experts = 1;
  if (config.name == "zero_computation") config.num_zero = config.num_copy = config.num_constant = 0;
  const auto only = random_bank(config);
  const auto r = bank_rows(kTokens, 1);
  const auto y = only->forward({.x_TD = r.x_TD, .plan = r.plan, .weight_N = r.weight_N});
  const auto with_weight_one = only->forward({.x_TD = r.x_TD, .plan = r.plan, .weight_N = at::ones_like(r.weight_N)});
  EXPECT_TRUE(at::allclose(y, with_weight_one * r.weight_N.unsqueeze(1), 1e-4, 1e-4));
}

TEST_P(ExpertBankContract, HasTheGradientsOfFiniteDifferences) {
  bank->to(at::kDouble);
  const auto r = bank_rows(4, kBankExperts, at::kDouble);
  std::vector<at::Tensor> inputs = {r.x_TD.requires_grad_(), r.weight_N.requires_grad_()};
  for (const auto& parameter : bank->parameters())
    if (parameter.requires_grad()) inputs.push_back(parameter);
  polyphony::testing::gradcheck([&](const auto&) { return forward(r); }, inputs);
}

TEST_P(ExpertBankContract, SendsGradientsToTokensWeightsAndParameters) {
  const auto x = rows.x_TD.clone().requires_grad_(), weight = rows.weight_N.clone().requires_grad_();
  forward(x, weight).square().sum().backward();
  for (const auto& tensor : {x, weight}) EXPECT_GT(tensor.grad().abs().sum().item<float>(), 0);
  for (const auto& parameter : bank->named_parameters()) {
    if (!parameter->requires_grad()) continue;
    EXPECT_TRUE(parameter->grad().isfinite().all().item<bool>()) << parameter.key();
    EXPECT_GT(parameter->grad().abs().sum().item<float>(), 0) << parameter.key();
  }
}

TEST_P(ExpertBankContract, GivesTheSameBitsForOneThreadAndForTwo) {
  const auto r = bank_rows(300, kBankExperts);
  const auto run = [&](int threads) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    bank->zero_grad();
    const auto x = r.x_TD.detach().clone().requires_grad_();
    const auto y = bank->forward({.x_TD = x, .plan = r.plan, .weight_N = r.weight_N});
    y.square().sum().backward();
    std::vector<at::Tensor> out = {y.detach(), x.grad()};
    for (const auto& parameter : bank->parameters())
      if (parameter.requires_grad()) out.push_back(parameter.grad().clone());
    at::set_num_threads(before);
    return out;
  };
  const auto one = run(1), two = run(2);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], two[i])) << i;
}

TEST_P(ExpertBankContract, ComesBackFromACheckpoint) {
  std::stringstream file;
  torch::serialize::OutputArchive out;
  bank->save(out);
  out.save_to(file);
  const auto other = random_bank(GetParam().config, /*seed=*/7);
  const auto y = [&](ExpertBank& b) {
    return b.forward({.x_TD = rows.x_TD, .plan = rows.plan, .weight_N = rows.weight_N});
  };
  if (!bank->parameters().empty()) {
    EXPECT_FALSE(at::equal(y(*other), y(*bank)));
  }
  torch::serialize::InputArchive in;
  in.load_from(file);
  other->load(in);
  EXPECT_TRUE(at::equal(y(*other), y(*bank)));
}

TEST_P(ExpertBankContract, NamesTheCostOfEveryExpert) {
  const auto cost_E = bank->cost_E();
  EXPECT_EQ(cost_E.sizes(), at::IntArrayRef({kBankExperts}));
  EXPECT_TRUE(((cost_E >= 0) & (cost_E <= 1)).all().item<bool>());
}

INSTANTIATE_TEST_SUITE_P(Registry, ExpertBankContract, ::testing::ValuesIn(bank_cases()),
                         [](const auto& param) { return param.param.label; });

TEST(ExpertBankRegistry, NamesTheKnownKindsWhenAskedForAnotherOne) {
  try {
    make_expert_bank({.name = "nonesuch", .model_dim = 1, .num_experts = 1});
    FAIL() << "expected ConfigError";
  } catch (const ConfigError& error) {
    for (const auto& row : expert_bank_infos()) EXPECT_NE(std::string(error.what()).find(row.name), std::string::npos);
  }
}

TEST(ExpertBankRegistry, RefusesSettingsOutOfRangeOrOfAnotherKind) {
  const auto refuses = [](ExpertBankConfig config) {
    config.model_dim = 8;
    if (config.num_experts == 0) config.num_experts = 4;
    EXPECT_THROW(make_expert_bank(config), ConfigError);
  };
  refuses({.name = "feed_forward"});
  refuses({.name = "feed_forward", .expert_hidden = 4, .num_copy = 3});
  refuses({.name = "sized", .expert_hidden = 4, .size_progression = "random"});
  refuses({.name = "zero_computation", .num_experts = 3, .expert_hidden = 4});
  refuses({.name = "lora", .expert_hidden = 4, .lora_rank = 0});
  refuses({.name = "adapter", .lora_alpha = -1});
  refuses({.name = "adapter", .lsh_hashes = 65});
}

}  // namespace
}  // namespace polyphony::moe
