// SPDX-License-Identifier: Apache-2.0
// What is special about the top-k router: ties, published normalisations, bias and groups, against plain definitions.
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

// A router whose logits are the tokens themselves: D = E and the gate is the identity.
std::shared_ptr<Router> identity_router(RouterConfig config) {
  config.name = "topk";
  config.model_dim = config.num_experts;
  auto router = make_router(config);
  const at::NoGradGuard no_grad;
  router->named_parameters()["weight"].copy_(at::eye(config.num_experts));
  return router;
}

RoutingContext context_of(const at::Tensor& logits_TE) {
  RoutingContext context;
  context.x_TD = logits_TE;
  context.modality_T = at::zeros({logits_TE.size(0)}, at::kByte);
  context.allowed_ME = allowed_table(one_group(logits_TE.size(1)), {});
  return context;
}

at::Tensor logits() { return at::tensor({2.0F, -1.0F, 0.5F, 1.0F}).reshape({1, 4}); }

TEST(TopKRouter, BreaksTiesInFavourOfTheLowerIndex) {
  const auto router = identity_router({.num_experts = 6, .experts_per_token = 3});
  const auto routing = router->route(context_of(at::zeros({5, 6})));
  EXPECT_TRUE(at::equal(routing.expert_N.reshape({5, 3}), at::arange(3).expand({5, 3})));
}

TEST(TopKRouter, KeepsSoftmaxOfAllExpertsWhenNothingIsNormalised) {
  const auto r = identity_router({.num_experts = 4, .normalise = "none"})->route(context_of(logits()));
  const auto p = logits().softmax(-1).flatten();
  EXPECT_TRUE(at::equal(r.expert_N, at::tensor({0, 3}, at::kLong)));
  EXPECT_TRUE(at::allclose(r.weight_N, p.index_select(0, r.expert_N)));
}

TEST(TopKRouter, NormalisedSoftmaxEqualsSoftmaxOverTheChosen) {
  const auto over_sum = identity_router({.num_experts = 4, .normalise = "sum"})->route(context_of(logits()));
  const auto selected =
      identity_router({.num_experts = 4, .score = "raw", .weight_from = "softmax_selected", .normalise = "none"})
          ->route(context_of(logits()));
  const auto expected = at::tensor({2.0F, 1.0F}).softmax(0);
  EXPECT_TRUE(at::allclose(over_sum.weight_N, expected));
  EXPECT_TRUE(at::allclose(selected.weight_N, expected));
}

TEST(TopKRouter, WeighsByTheSigmoidOfTheChosenLogit) {
  const auto r = identity_router({.num_experts = 4,
                                  .experts_per_token = 1,
                                  .score = "raw",
                                  .weight_from = "sigmoid_logit",
                                  .normalise = "none"})
                     ->route(context_of(logits()));
  EXPECT_FLOAT_EQ(r.weight_N.item<float>(), 1.0F / (1.0F + std::exp(-2.0F)));
}

TEST(TopKRouter, LetsTheChoiceBiasDecideWhoButNotHowMuch) {
  const auto router = identity_router(
      {.num_experts = 4, .score = "sigmoid", .normalise = "sum_eps", .scale = 2.5, .choice_bias = true});
  ASSERT_TRUE(router->choice_bias().defined());
  EXPECT_TRUE(router->named_buffers().contains("e_score_correction_bias"));
  router->choice_bias().copy_(at::tensor({0.0F, 5.0F, 0.0F, 0.0F}));
  const auto r = router->route(context_of(logits()));
  EXPECT_TRUE(at::equal(r.expert_N, at::tensor({1, 0}, at::kLong)));
  const auto s = logits().flatten().sigmoid().index_select(0, r.expert_N);
  EXPECT_TRUE(at::allclose(r.weight_N, s / s.sum() * 2.5));
}

TEST(TopKRouter, KeepsToTheBestGroupsByTheirMaximumOrByTheirTwoBest) {
  // Group 0 has the best single expert, group 1 the best pair.
  const auto scores = at::tensor({3.0F, -4.0F, 2.0F, 1.9F}).reshape({1, 4});
  RouterConfig config{.num_experts = 4, .score = "sigmoid", .num_groups = 2, .groups_per_token = 1};
  EXPECT_TRUE(at::equal(identity_router(config)->route(context_of(scores)).expert_N, at::tensor({0, 1}, at::kLong)));
  config.group_score = "sum_top2";
  EXPECT_TRUE(at::equal(identity_router(config)->route(context_of(scores)).expert_N, at::tensor({2, 3}, at::kLong)));
}

TEST(TopKRouter, NeverPrefersAGroupWithoutAllowedExperts) {
  auto context = context_of(at::zeros({3, 4}));
  context.allowed_ME = at::tensor({0, 0, 0, 1}).to(at::kBool).expand({kNumModalities, 4}).contiguous();
  const auto router = identity_router(
      {.num_experts = 4, .score = "sigmoid", .num_groups = 2, .groups_per_token = 1, .group_score = "sum_top2"});
  EXPECT_TRUE(at::equal(router->route(context).expert_N, at::full({3}, 3, at::kLong)));
}

TEST(TopKRouter, NormalisesOverTheExpertsThatAreLeftWhenGroupsLeaveFewerThanK) {
  // Three experts are wanted, but of the best group of four the modality may use two.
  RouterConfig config{.num_experts = 8, .experts_per_token = 3, .num_groups = 2, .groups_per_token = 1};
  for (const std::string weight_from : {"score", "softmax_selected"}) {
    config.weight_from = weight_from;
    auto context = context_of(at::tensor({5.0F, 4.0F, 3.0F, 2.0F, 1.0F, 1.0F, 1.0F, 1.0F}).reshape({1, 8}));
    context.allowed_ME = at::tensor({1, 1, 0, 0, 1, 1, 1, 1}).to(at::kBool).expand({kNumModalities, 8});
    const auto r = identity_router(config)->route(context);
    EXPECT_TRUE(at::equal(r.expert_N, at::tensor({0, 1}, at::kLong)));
    EXPECT_NEAR(r.weight_N.sum().item<float>(), 1, 1e-6) << weight_from;
  }
}

TEST(TopKRouter, StaysFiniteWhenEverySigmoidUnderflows) {
  const auto router = identity_router({.num_experts = 4, .score = "sigmoid"});
  const auto r = router->route(context_of(at::full({2, 4}, -200.0F)));
  EXPECT_TRUE(at::equal(r.weight_N, at::zeros({4})));
}

TEST(TopKRouter, ScoresEachModalityWithItsOwnGateOverTheSameExperts) {
  const auto router = make_router({.name = "topk", .model_dim = kWidth, .num_experts = 4, .gate_per_modality = true});
  const auto weight = router->named_parameters()["weight"].detach();
  ASSERT_EQ(weight.sizes(), at::IntArrayRef({kNumModalities, 4, kWidth}));
  const auto c = random_context({.groups = one_group(4)});
  const auto logits = router->route(c).logits_TE;
  for (int64_t t = 0; t < 24; ++t)
    EXPECT_TRUE(at::allclose(logits[t], at::mv(weight[c.modality_T[t].item<int64_t>()], c.x_TD[t]), 1e-5, 1e-6));
}

TEST(TopKRouter, AddsJitterInTrainingOnly) {
  const auto router = identity_router({.num_experts = 4, .jitter = 0.3});
  auto context = context_of(at::randn({8, 4}));
  const auto quiet = router->route(context);
  EXPECT_TRUE(at::equal(quiet.logits_TE, context.x_TD));
  context.training = true;
  const auto loud = router->route(context);
  const auto ratio = loud.logits_TE / context.x_TD;
  EXPECT_GT((ratio - 1).abs().max().item<float>(), 0.01F);
  EXPECT_LE((ratio - 1).abs().max().item<float>(), 0.301F);
}

TEST(TopKRouter, RefusesSettingsThatContradictOneAnother) {
  const RouterConfig good{.name = "topk", .model_dim = 8, .num_experts = 8};
  const auto refuses = [&](auto change) {
    auto config = good;
    change(config);
    EXPECT_THROW(make_router(config), ConfigError);
  };
  EXPECT_NO_THROW(make_router(good));
  refuses([](auto& c) { c.experts_per_token = 9; });
  refuses([](auto& c) { c.experts_per_token = 0; });
  refuses([](auto& c) { c.score = "raw"; });
  refuses([](auto& c) { c.score = "cosine"; });
  refuses([](auto& c) { c.num_groups = 3; });
  refuses([](auto& c) { c.num_groups = 8; });
  refuses([](auto& c) { c.num_null = 1; });
  refuses([](auto& c) { c.jitter = 1.0; });
  refuses([](auto& c) { c.scale = 0.0; });
}

}  // namespace
}  // namespace polyphony::moe
