// SPDX-License-Identifier: Apache-2.0
// Capacity: the one rule for its size, who is dropped, and that nothing is lost or made.
#include "moe/capacity.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/rng.h"
#include "moe/dispatch.h"
#include "moe/expert_stats.h"
#include "moe/moe_layer.h"
#include "tests/moe/routers/contract_cases.h"

namespace polyphony::moe {
namespace {

at::Tensor longs(std::vector<int64_t> values) { return at::tensor(values, at::kLong); }

// T tokens, one row each, all to expert 0 of 2, with rising weights 0.1, 0.2, ...
Routing crowded(int64_t T) {
  Routing r{.num_tokens = T, .num_experts = 2};
  r.token_N = at::arange(T);
  r.expert_N = at::zeros({T}, at::kLong);
  r.weight_N = (at::arange(T) + 1) * 0.1F;
  return r;
}

std::vector<int64_t> kept_tokens(const Routing& r) {
  const auto kept = r.token_N.index({r.kept_N}).contiguous();
  return {kept.const_data_ptr<int64_t>(), kept.const_data_ptr<int64_t>() + kept.numel()};
}

TEST(CapacityRule, IsFixedAboveZeroDroplessAtZeroAndBoundedBelow) {
  const auto rows = longs({9, 2, 1, 0});  // 12 rows of 4 experts: 3 each if even
  EXPECT_TRUE(at::equal(capacity_of_experts(rows, 1.0, 1), longs({3, 3, 3, 3})));
  EXPECT_TRUE(at::equal(capacity_of_experts(rows, 1.5, 1), longs({4, 4, 4, 4})));
  EXPECT_TRUE(at::equal(capacity_of_experts(rows, 5.0, 1), longs({15, 15, 15, 15})));
  EXPECT_TRUE(at::equal(capacity_of_experts(rows, 0.0, 1), longs({9, 9, 9, 9})));
  EXPECT_TRUE(at::equal(capacity_of_experts(rows, -5.0, 1), longs({9, 9, 9, 9})));
  EXPECT_TRUE(at::equal(capacity_of_experts(rows, -1.0, 1), longs({3, 3, 3, 3})));
  EXPECT_TRUE(at::equal(capacity_of_experts(rows, 1.0, 8), longs({8, 8, 8, 8}))) << "at least min_rows";
}

TEST(CapacityRule, GivesUnequalSharesAsMoePlusPlusDoes) {
  // 2 MLPs and 2 experts that cost nothing, tau = 0.5: 12 rows in shares 1 : 1 : 2 : 2.
  const auto share = at::tensor({0.5, 0.5, 1.0, 1.0}, at::kDouble);
  EXPECT_TRUE(at::equal(capacity_of_experts(longs({12, 0, 0, 0}), 1.0, 1, share), longs({2, 2, 4, 4})));
}

TEST(CapacityPolicy, KeepsTheFirstTokensTheBestOrAnyOfThem) {
  const auto capacity = longs({3, 3});
  EXPECT_EQ(kept_tokens(limit_capacity(crowded(8), capacity, "prefix", false)), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(kept_tokens(limit_capacity(crowded(8), capacity, "probability", false)), (std::vector<int64_t>{5, 6, 7}));
  EXPECT_EQ(kept_tokens(limit_capacity(crowded(8), capacity, "random", false)).size(), 3U);
}

TEST(CapacityPolicy, TakesFirstChoicesBeforeSecondOnes) {
  // Token 0 has expert 0 as its second choice, tokens 1 and 2 as their first.
  Routing r{.num_tokens = 3, .num_experts = 2};
  r.token_N = longs({0, 0, 1, 1, 2, 2});
  r.expert_N = longs({0, 1, 0, 1, 0, 1});
  r.weight_N = at::tensor({0.3F, 0.7F, 0.6F, 0.4F, 0.9F, 0.1F});
  const auto limited = limit_capacity(r, longs({2, 3}), "prefix", false);
  EXPECT_TRUE(at::equal(limited.kept_N, at::tensor({0, 1, 1, 1, 1, 1}, at::kLong).to(at::kBool)));
}

TEST(CapacityPolicy, DropsAtRandomWithoutFavourAndRepeatsForASeed) {
  // 4 of 8 rows are kept, 2,000 draws: each row's count is binomial with deviation 22.
  auto kept = at::zeros({8});
  auto generator = make_generator(7);
  for (int draw = 0; draw < 2000; ++draw)
    kept += limit_capacity(crowded(8), longs({4, 4}), "random", false, generator).kept_N.to(at::kFloat);
  EXPECT_LT((kept - 1000).abs().max().item<float>(), 110);
  const auto once = limit_capacity(crowded(8), longs({4, 4}), "random", false, make_generator(3));
  const auto again = limit_capacity(crowded(8), longs({4, 4}), "random", false, make_generator(3));
  EXPECT_TRUE(at::equal(once.kept_N, again.kept_N));
}

TEST(CapacityPolicy, DropsLateTokensByPrefixAndAnyTokensAtRandom) {
  // The mean place of what is dropped: at the end by prefix, in the middle at random.
  const auto dropped_place = [](const std::string& policy) {
    const auto r = limit_capacity(crowded(1000), longs({500, 500}), policy, false, make_generator(1));
    return r.token_N.index({~r.kept_N}).to(at::kFloat).mean().item<float>();
  };
  EXPECT_NEAR(dropped_place("prefix"), 749.5, 1e-3);
  EXPECT_NEAR(dropped_place("random"), 499.5, 50);
}

TEST(Capacity, LeavesTheGradientOfKeptRowsAlone) {
  auto r = crowded(4);
  const auto weight = r.weight_N.clone().requires_grad_();
  r.weight_N = weight;
  limit_capacity(r, longs({2, 2}), "prefix", false).weight_N.sum().backward();
  EXPECT_TRUE(at::equal(weight.grad(), at::tensor({1.0F, 1.0F, 0.0F, 0.0F})));
}

TEST(Capacity, KeepsATokensSumOfWeightsIfAskedTo) {
  Routing r{.num_tokens = 2, .num_experts = 2};
  r.token_N = longs({0, 0, 1, 1});
  r.expert_N = longs({0, 1, 0, 1});
  r.weight_N = at::tensor({0.6F, 0.4F, 0.7F, 0.2F});
  const auto limited = limit_capacity(r, longs({1, 2}), "prefix", true);
  EXPECT_TRUE(at::allclose(limited.weight_N, at::tensor({0.6F, 0.4F, 0.0F, 0.9F})));
  const auto nothing_left = limit_capacity(r, longs({0, 0}), "prefix", true);
  EXPECT_EQ(nothing_left.weight_N.abs().max().item<float>(), 0);
}

class CapacityOfRouters : public testing::TestWithParam<std::tuple<RouterCase, std::string>> {};

TEST_P(CapacityOfRouters, KeepsAndDropsWhatWasDemandedAndNoMoreThanFits) {
  const auto& [test_case, policy] = GetParam();
  const auto r = make_router(test_case.config)->route(random_context({.groups = test_case.groups}));
  const auto cost_E = at::ones({r.num_experts}, at::kDouble);
  const auto limited = apply_capacity(r, {.factor = 0.5, .min_rows = 1, .policy = policy}, cost_E, /*training=*/true);
  EXPECT_NO_THROW(check_routing(limited));
  EXPECT_TRUE(at::equal(limited.expert_N, r.expert_N)) << "losses see what was demanded";
  const auto plan = plan_dispatch(limited);
  const auto nulls = (r.expert_N >= r.num_experts).sum().item<int64_t>();
  EXPECT_EQ(plan.num_rows() + dropped_rows(limited) + nulls, r.token_N.size(0));
  const auto rows_E = at::bincount(r.expert_N, {}, r.num_experts + r.num_null).narrow(0, 0, r.num_experts);
  const auto kept_E = plan.offset_E1.diff();
  EXPECT_TRUE(at::equal(kept_E, at::minimum(rows_E, capacity_of_experts(rows_E, 0.5, 1))));
  EXPECT_EQ(limited.weight_N.index({~limited.kept_N}).abs().sum().item<float>(), 0);
}

TEST_P(CapacityOfRouters, ChangesNothingWhereAllFits) {
  const auto& [test_case, policy] = GetParam();
  const auto r = make_router(test_case.config)->route(random_context({.groups = test_case.groups}));
  const auto cost_E = at::ones({r.num_experts}, at::kDouble);
  const auto wide = apply_capacity(r, {.factor = 100, .policy = policy, .renormalise = true}, cost_E, true);
  EXPECT_EQ(dropped_rows(wide), 0);
  EXPECT_TRUE(at::allclose(wide.weight_N, r.weight_N, 1e-6, 0));
  EXPECT_FALSE(apply_capacity(r, {.factor = 1, .policy = policy}, cost_E, /*training=*/false).kept_N.defined());
}

INSTANTIATE_TEST_SUITE_P(Registry, CapacityOfRouters,
                         testing::Combine(testing::ValuesIn(router_cases()),
                                          testing::Values("prefix", "random", "probability")),
                         [](const auto& param) {
                           return std::get<0>(param.param).label + "_" + std::get<1>(param.param);
                         });

TEST(Capacity, RefusesWhatDropsEverythingOrContradictsItself) {
  EXPECT_THROW(check_capacity({.factor = 1, .min_rows = 0}), ConfigError);
  EXPECT_THROW(check_capacity({.factor = 1, .policy = "none"}), ConfigError);
  EXPECT_THROW(check_capacity({.factor = 1, .policy = "last"}), ConfigError);
  EXPECT_THROW(check_capacity({.factor = std::nan("")}), ConfigError);
  EXPECT_THROW(check_capacity({.dear_share = 0}), ConfigError);
  EXPECT_NO_THROW(check_capacity({.policy = "none"}));
}

TEST(CapacityOfTheLayer, GivesDroppedTokensNothingAndCountsThem) {
  MoEConfig config{.router = {.model_dim = kWidth, .num_experts = 2, .experts_per_token = 1},
                   .experts = {.expert_hidden = 8},
                   .capacity = {.factor = 0.5, .min_rows = 1}};
  MoELayer layer(config);
  const auto c = random_context({.groups = one_group(2)});
  const auto [y, routing] = layer.forward(c);
  const auto dropped = routing.token_N.index({~routing.kept_N});
  EXPECT_GE(dropped.size(0), 12 - 2);
  EXPECT_EQ(y.index({dropped}).abs().max().item<float>(), 0);
  ExpertCounts counts;
  add_routing(counts, routing, c.modality_T);
  EXPECT_EQ(expert_stats(counts).rows + dropped.size(0), 24);
  EXPECT_NEAR(expert_stats(counts).dropped_share, static_cast<double>(dropped.size(0)) / 24.0, 1e-9);
  EXPECT_TRUE(at::equal(layer.forward(c.x_TD, routing).y_TD, y)) << "a replay drops the same rows";
  layer.eval();
  EXPECT_EQ(dropped_rows(layer.forward(c).routing), 0);
}

}  // namespace
}  // namespace polyphony::moe
