// SPDX-License-Identifier: Apache-2.0
// The invariants of null experts: none of them is plain top-k, true weights sum to 1 or 0, nulls are never dispatched.
#include <gtest/gtest.h>

#include "core/error.h"
#include "moe/dispatch.h"
#include "moe/losses/load_balance.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

std::shared_ptr<Router> router_with(RouterConfig config) {
  at::manual_seed(3);
  config.model_dim = kWidth;
  config.num_experts = 4;
  return make_router(config);
}

RoutingContext context() { return random_context({.tokens = 64, .groups = one_group(4)}); }

TEST(NullExpertsRouter, WithoutNullsEqualsPlainTopKBitForBit) {
  const auto plain = router_with({.name = "topk"})->route(context());
  const auto none = router_with({.name = "null_experts"})->route(context());
  EXPECT_TRUE(at::equal(plain.token_N, none.token_N));
  EXPECT_TRUE(at::equal(plain.expert_N, none.expert_N));
  EXPECT_TRUE(at::equal(plain.weight_N, none.weight_N));
}

TEST(NullExpertsRouter, GivesTrueWeightsThatSumToOneOrZero) {
  const auto r = router_with({.name = "null_experts", .experts_per_token = 2, .num_null = 6})->route(context());
  const auto sum_T = table_of(r).narrow(1, 0, 4).clamp_min(0).sum(1);
  const auto has_true_T = (table_of(r).narrow(1, 0, 4) >= 0).any(1);
  EXPECT_TRUE(at::allclose(sum_T, has_true_T.to(at::kFloat)));
  EXPECT_TRUE(has_true_T.any().item<bool>());
  EXPECT_FALSE(has_true_T.all().item<bool>());
}

TEST(NullExpertsRouter, DispatchesTheRowsOfTrueExpertsOnly) {
  const auto r = router_with({.name = "null_experts", .experts_per_token = 3, .num_null = 4})->route(context());
  const auto plan = plan_dispatch(r);
  EXPECT_EQ(plan.num_rows(), (r.expert_N < 4).sum().item<int64_t>());
  EXPECT_LT(plan.num_rows(), r.token_N.size(0));
}

TEST(NullExpertsRouter, KeepsTheShareOfNullsWhenNothingIsNormalised) {
  const auto r = router_with({.name = "null_experts", .normalise = "none", .num_null = 4})->route(context());
  const auto true_rows = (r.expert_N < 4).nonzero().flatten();
  const auto share = r.score_TE.index({r.token_N, r.expert_N});
  EXPECT_TRUE(at::equal(r.weight_N.index_select(0, true_rows), share.index_select(0, true_rows)));
}

TEST(NullExpertsRouter, ReproducesTheModelWithoutNullsWhileTheyAreOutOfReach) {
  const auto plain = router_with({.name = "topk"});
  const auto retrofitted = router_with({.name = "null_experts", .num_null = 4});
  auto c = context();
  c.x_TD = c.x_TD.abs();
  {
    const at::NoGradGuard no_grad;
    retrofitted->named_parameters()["null_weight"].fill_(-1000);
  }
  const auto a = plain->route(c), b = retrofitted->route(c);
  EXPECT_TRUE(at::equal(a.expert_N, b.expert_N));
  EXPECT_TRUE(at::allclose(a.weight_N, b.weight_N, 0, 1e-6));
}

TEST(NullExpertsRouter, GivesTheSameExpertsAndLossWhenNullsChangePlaces) {
  const auto router = router_with({.name = "null_experts", .num_null = 4});
  const auto before = router->route(context());
  const auto loss = load_balance_loss(before).item<float>();
  {
    const at::NoGradGuard no_grad;
    auto weight = router->named_parameters()["null_weight"];
    weight.copy_(weight.flip(0));
  }
  const auto after = router->route(context());
  EXPECT_TRUE(at::allclose(table_of(before).narrow(1, 0, 4), table_of(after).narrow(1, 0, 4)));
  EXPECT_NEAR(loss, load_balance_loss(after).item<float>(), 1e-5);
}

TEST(NullExpertsRouter, RefusesScoresThatCompeteWithNothing) {
  EXPECT_THROW(router_with({.name = "null_experts", .score = "sigmoid"}), ConfigError);
  EXPECT_THROW(router_with({.name = "null_experts", .num_null = -1}), ConfigError);
}

}  // namespace
}  // namespace polyphony::moe
