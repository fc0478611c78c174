// SPDX-License-Identifier: Apache-2.0
// The contract of every router in the registry, each under several settings; a new router gets these tests for free.
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/ops/moe_experts/moe_experts.h"
#include "moe/dispatch.h"
#include "tests/moe/routers/contract_cases.h"

// gtest assertions are if-else statements; a loop or condition around one line of them is clear to a reader.
#pragma GCC diagnostic ignored "-Wdangling-else"

namespace polyphony::moe {
namespace {

class RouterContract : public testing::TestWithParam<RouterCase> {
 protected:
  std::shared_ptr<Router> make() const {
    at::manual_seed(7);
    return make_router(GetParam().config);
  }
  RoutingContext context(ContextOptions options = {}) const {
    options.groups = GetParam().groups;
    return random_context(options);
  }
  bool has_choice() const { return GetParam().config.num_experts > 1; }
};

TEST_P(RouterContract, GivesAWellFormedRoutingWithFiniteWeightsThatAreNotNegative) {
  const auto routing = make()->route(context());
  EXPECT_NO_THROW(check_routing(routing));
  EXPECT_EQ(routing.num_tokens, 24);
  EXPECT_EQ(routing.num_experts, GetParam().config.num_experts);
  EXPECT_EQ(routing.num_null, GetParam().config.num_null);
  EXPECT_TRUE((routing.weight_N >= 0).all().item<bool>());
}

TEST_P(RouterContract, NeverSendsATokenToOneExpertTwice) {
  const auto r = make()->route(context());
  const auto cell_N = r.token_N * (r.num_experts + r.num_null) + r.expert_N;
  EXPECT_EQ(std::get<0>(at::_unique2(cell_N)).size(0), cell_N.size(0));
}

TEST_P(RouterContract, NeverPicksAnExpertForbiddenToTheModality) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const auto c = context({.seed = seed});
    const auto r = make()->route(c);
    const auto routed_N = (r.expert_N < r.num_experts).nonzero().flatten();
    const auto allowed_N =
        allowed_of_token(c).index({r.token_N.index_select(0, routed_N), r.expert_N.index_select(0, routed_N)});
    EXPECT_TRUE(allowed_N.all().item<bool>());
  }
}

TEST_P(RouterContract, GivesEachTokenTheRowsAndTheSumThatItsTraitsDeclare) {
  const auto c = context();
  const auto router = make();
  const auto r = router->route(c);
  const auto available_T = allowed_of_token(c).sum(1) + r.num_null;
  const auto rows_T = rows_of_token(r);
  EXPECT_TRUE((rows_T <= available_T).all().item<bool>());
  if (router->traits().fixed_rows_per_token) {
    EXPECT_TRUE((rows_T >= 1).all().item<bool>());
    if (GetParam().config.num_groups == 1)
      EXPECT_TRUE(at::equal(rows_T, available_T.clamp_max(GetParam().config.experts_per_token)));
  }
  if (router->traits().weights_sum_to_one) {
    const auto sum_T = at::zeros({r.num_tokens}).index_add_(0, r.token_N, r.weight_N.detach());
    EXPECT_TRUE(at::allclose(sum_T, at::ones_like(sum_T), 0, 1e-5));
  }
}

TEST_P(RouterContract, FollowsAPermutationOfTheTokensExactlyIfItSaysSo) {
  const auto c = context();
  const auto router = make();
  const auto order_T = at::randperm(24, at::kLong);
  const auto before = table_of(router->route(c)).index_select(0, order_T);
  const auto after = table_of(router->route(permuted(c, order_T)));
  const bool follows = at::allclose(before, after, 0, 1e-6);
  if (router->traits().permutation_equivariant || has_choice())
    EXPECT_EQ(follows, router->traits().permutation_equivariant);
}

TEST_P(RouterContract, LetsOtherTokensChangeATokensRowsOnlyIfItIsNotCausal) {
  const auto router = make();
  bool changed = false;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const auto c = context({.seed = seed});
    auto other = c;
    other.x_TD = c.x_TD.clone();
    other.x_TD.narrow(0, 12, 12).normal_();
    const auto before = table_of(router->route(c)).narrow(0, 0, 12);
    const auto after = table_of(router->route(other)).narrow(0, 0, 12);
    changed |= !at::allclose(before, after, 0, 1e-6);
  }
  if (router->traits().causal || has_choice()) EXPECT_EQ(changed, !router->traits().causal);
}

TEST_P(RouterContract, SendsEveryTokenToTheOnlyExpertThereIs) {
  if (has_choice()) GTEST_SKIP() << "more than one expert";
  const auto r = make()->route(context());
  EXPECT_TRUE(at::equal(std::get<0>(r.token_N.sort()), at::arange(24)));
  EXPECT_TRUE((r.expert_N == 0).all().item<bool>());
}

TEST_P(RouterContract, DispatchesRaggedRowsToTheSameResultAsADenseMaskedMixture) {
  const auto c = context();
  const auto r = make()->route(c);
  const int64_t E = r.num_experts, F = 8;
  const auto w13 = at::randn({E, 2 * F, kWidth}) / 4, w2 = at::randn({E, kWidth, F}) / 4;
  const auto y = ops::moe_experts(c.x_TD, plan_dispatch(r), r.weight_N.detach(), w13, w2);
  auto expected = at::zeros_like(c.x_TD);
  const auto weight_TE = table_of(r).clamp_min(0);
  for (int64_t e = 0; e < E; ++e) {
    const auto h = at::matmul(c.x_TD, w13[e].t()).chunk(2, -1);
    expected += weight_TE.select(1, e).unsqueeze(1) * at::matmul(at::silu(h[0]) * h[1], w2[e].t());
  }
  EXPECT_TRUE(at::allclose(y, expected, 1e-5, 1e-5));
}

TEST_P(RouterContract, RepeatsItselfForTheSameGenerator) {
  const auto router = make();
  auto c = context();
  c.training = true;
  c.generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto first = router->route(c);
  c.generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto second = router->route(c);
  EXPECT_TRUE(at::equal(first.token_N, second.token_N));
  EXPECT_TRUE(at::equal(first.expert_N, second.expert_N));
  EXPECT_TRUE(at::equal(first.weight_N, second.weight_N));
}

TEST_P(RouterContract, LetsTheGradientOfTheWeightsReachItsParametersIfItLearns) {
  const auto router = make();
  if (!router->traits().learned) {
    EXPECT_TRUE(router->parameters().empty());
    return;
  }
  EXPECT_TRUE(router->named_parameters().contains("weight"));
  if (!has_choice()) return;
  const auto r = router->route(context());
  (r.weight_N * at::randn_like(r.weight_N)).sum().backward();
  for (const auto& parameter : router->named_parameters()) {
    // The one multiplies the first layer's state, which is 0; the other cancels out of weights over true experts and
    // learns from the balance loss.
    if (parameter.key() == "cell.weight_hh" || parameter.key() == "null_weight") continue;
    ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
    EXPECT_TRUE(parameter->grad().isfinite().all().item<bool>()) << parameter.key();
    EXPECT_GT(parameter->grad().abs().sum().item<float>(), 0) << parameter.key();
  }
}

TEST_P(RouterContract, RoutesNoTokensOneTokenAndTokensOfOneModality) {
  const auto router = make();
  EXPECT_EQ(router->route(context({.tokens = 0})).token_N.size(0), 0);
  const auto one = router->route(context({.tokens = 1}));
  EXPECT_NO_THROW(check_routing(one));
  EXPECT_GE(one.token_N.size(0), 1);
  for (const auto modality : {Modality::text, Modality::image}) {
    const auto r = router->route(context({.modalities = {modality}}));
    EXPECT_NO_THROW(check_routing(r));
    EXPECT_GE(r.token_N.size(0), 1);
  }
}

TEST_P(RouterContract, TakesARankOverrideOfOneCallAndRefusesAnImpossibleOne) {
  const auto router = make();
  auto c = context();
  c.experts_per_token = 1;
  const auto one = router->route(c);
  if (router->traits().fixed_rows_per_token) EXPECT_TRUE((rows_of_token(one) == 1).all().item<bool>());
  c.experts_per_token = GetParam().config.num_experts;
  EXPECT_GE(router->route(c).token_N.size(0), one.token_N.size(0));
  c.experts_per_token = 0;
  EXPECT_THROW(router->route(c), ShapeError);
  c.experts_per_token = 99;
  EXPECT_THROW(router->route(c), ShapeError);
}

TEST_P(RouterContract, CarriesStateBetweenLayersExactlyIfItSaysSo) {
  const auto router = make();
  auto c = context();
  const auto first = router->route(c);
  ASSERT_EQ(first.state_TP.defined(), router->traits().carries_state);
  if (!router->traits().carries_state) return;
  EXPECT_EQ(first.state_TP.size(0), 24);
  c.state_TP = first.state_TP;
  c.layer = 1;
  EXPECT_FALSE(at::allclose(first.state_TP, router->route(c).state_TP));
  c.state_TP = first.state_TP.narrow(0, 0, 3);
  EXPECT_THROW(router->route(c), ShapeError);
}

TEST_P(RouterContract, RefusesTokensThatDoNotFit) {
  const auto router = make();
  auto c = context();
  c.modality_T = c.modality_T.to(at::kLong);
  EXPECT_THROW(router->route(c), ShapeError);
  c = context();
  c.modality_T = at::full_like(c.modality_T, 200);
  EXPECT_THROW(router->route(c), ShapeError);
  c = context();
  c.allowed_ME = at::zeros_like(c.allowed_ME);
  EXPECT_THROW(router->route(c), ShapeError);
  c = context();
  c.x_TD = at::randn({24, kWidth + 1});
  if (router->traits().learned) EXPECT_THROW(router->route(c), ShapeError);
}

TEST_P(RouterContract, WeighsInF32WhateverTheTokensAre) {
  auto c = context();
  c.x_TD = c.x_TD.to(at::kBFloat16);
  EXPECT_NO_THROW(check_routing(make()->route(c)));
}

INSTANTIATE_TEST_SUITE_P(Registry, RouterContract, testing::ValuesIn(router_cases()),
                         [](const auto& param) { return param.param.label; });

TEST(RouterRegistry, NamesTheKnownRoutersWhenAskedForAnotherOne) {
  try {
    make_router({.name = "nonesuch"});
    FAIL() << "expected ConfigError";
  } catch (const ConfigError& error) {
    for (const auto& row : router_infos()) EXPECT_NE(std::string(error.what()).find(row.name), std::string::npos);
  }
}

TEST(RouterRegistry, SaysOfEachRouterWhatItIsAndWhereItComesFrom) {
  for (const auto& row : router_infos()) {
    EXPECT_FALSE(row.summary.empty());
    EXPECT_FALSE(row.source.empty());
  }
}

}  // namespace
}  // namespace polyphony::moe
