// SPDX-License-Identifier: Apache-2.0
// Routers in which tokens compete: expert choice in a sample and by predictor, mixture of depths, BASE, patch
// selection.
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "moe/routers/competition.h"
#include "moe/routers/predictor.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

// 24 tokens in samples of 12, 8 and 4, not in order.
RoutingContext three_samples(int64_t num_experts) {
  auto c = random_context({.groups = one_group(num_experts)});
  c.sample_T = at::tensor({0, 1, 0, 2, 0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 1, 2, 0, 1, 0, 0, 1, 2, 0, 1}, at::kLong);
  return c;
}

TEST(ImageChoiceRouter, GivesEachExpertItsBestTokensOfEverySample) {
  const auto router = make_router(config_of("image_choice", 4));
  const auto c = three_samples(4);
  const auto r = router->route(c);
  const auto score = r.score_TE.detach();
  for (int64_t sample = 0; sample < 3; ++sample) {
    const auto tokens = (c.sample_T == sample).nonzero().flatten();
    const int64_t places = tokens.size(0) * 2 / 4;  // two experts a token over four experts
    for (int64_t e = 0; e < 4; ++e) {
      const auto best = std::get<1>(score.index_select(0, tokens).select(1, e).topk(places));
      const auto expected = std::get<0>(tokens.index_select(0, best).sort());
      const auto mine = r.token_N.index({(r.expert_N == e) & (c.sample_T.index_select(0, r.token_N) == sample)});
      EXPECT_TRUE(at::equal(std::get<0>(mine.sort()), expected));
    }
  }
}

TEST(ImageChoiceRouter, RoutesASampleTheSameWhateverIsBesideIt) {
  const auto router = make_router(config_of("image_choice", 4));
  const auto c = three_samples(4);
  const auto tokens = (c.sample_T == 1).nonzero().flatten();
  auto alone = permuted(c, tokens);
  alone.sample_T = at::zeros({tokens.size(0)}, at::kLong);
  EXPECT_TRUE(at::allclose(table_of(router->route(alone)), table_of(router->route(c)).index_select(0, tokens)));
}

TEST(Predictor, AveragesTheThresholdThatWouldHaveChosenAsMany) {
  Predictor predictor({.dim = 4, .outputs = 2, .decay = 0.5});
  const auto logits = at::tensor({2.0F, 0.0F, 1.0F, 0.0F, -1.0F, 3.0F}).reshape({3, 2});
  const auto won = at::tensor({1, 0, 1, 0, 0, 0}).to(at::kBool).reshape({3, 2});
  predictor.follow(logits, won);
  const auto threshold = predictor.named_buffers()["threshold"];
  EXPECT_NEAR(threshold[0].item<double>(), 0.25 + 0.5 / (1 + std::exp(-1.0)), 1e-5) << "two won: the second best";
  EXPECT_EQ(threshold[1].item<float>(), 0.5F) << "nobody won";
}

TEST(PoolChoiceRouter, LetsThePredictorDecideForEachTokenOutsideTraining) {
  const auto router = make_router(config_of("pool_choice", 4));
  const auto c = random_context({.groups = one_group(4)});
  const auto trained = router->route(in_training(c));
  EXPECT_EQ(trained.token_N.size(0), 24) << "one expert a token on average";
  const auto r = router->route(c);
  const auto chosen = r.predictor_TE.sigmoid() > router->named_buffers()["predictor.threshold"];
  EXPECT_TRUE(at::equal(table_of(r) >= 0, chosen));
}

TEST(PoolChoiceRouter, LearnsToChooseWhatCompetitionChose) {
  at::manual_seed(5);
  const auto router = make_router(config_of("pool_choice", 4));
  auto c = random_context({.tokens = 200, .groups = one_group(4)});
  const auto wanted = table_of(router->route(in_training(c))) >= 0;
  const auto agreement = [&] {
    return (((table_of(router->route(c)) >= 0) == wanted).sum().item<double>()) / static_cast<double>(wanted.numel());
  };
  const double before = agreement();
  std::vector<at::Tensor> parameters;
  for (const auto& item : router->named_parameters())
    if (item.key().starts_with("predictor.")) parameters.push_back(item.value());
  for (int step = 0; step < 300; ++step) {
    const auto r = router->route(in_training(c));
    const auto loss = at::binary_cross_entropy_with_logits(r.predictor_TE, (table_of(r) >= 0).to(at::kFloat));
    loss.backward();
    const at::NoGradGuard no_grad;
    for (auto& p : parameters) {
      p.sub_(p.grad(), 2.0);
      p.mutable_grad().reset();
    }
  }
  EXPECT_GT(agreement(), before);
  EXPECT_GT(agreement(), 0.85);
}

TEST(MixtureOfDepthsRouter, WithFullCapacityIsTopKTimesTheScore) {
  auto config = config_of("mixture_of_depths", 5);
  config.depth_capacity = 1;
  const auto router = make_router(config);
  const auto topk = make_router({.name = "topk", .model_dim = kWidth, .num_experts = 5});
  const at::NoGradGuard no_grad;
  topk->named_parameters()["weight"].copy_(router->named_parameters()["weight"]);
  const auto c = random_context({.groups = one_group(5)});
  const auto score = at::matmul(c.x_TD, router->named_parameters()["depth_weight"].t()).sigmoid();
  const auto expected = table_of(topk->route(c));
  EXPECT_TRUE(
      at::allclose(table_of(router->route(c)), at::where(expected >= 0, expected * score, expected), 1e-5, 1e-6));
}

TEST(MixtureOfDepthsRouter, LetsTheBestShareOfTheTokensIn) {
  auto config = config_of("mixture_of_depths", 5);
  for (const auto& [scope, counts] : {std::pair{"batch", std::vector<int64_t>{6}}, {"sample", {3, 2, 1}}}) {
    config.scope = scope;
    const auto router = make_router(config);
    const auto c = three_samples(5);
    const auto enters = rows_of_token(router->route(c)) > 0;
    const auto score = at::matmul(c.x_TD, router->named_parameters()["depth_weight"].t()).flatten();
    const auto pool = pool_of_token(c, scope);
    for (size_t p = 0; p < counts.size(); ++p) {
      const auto tokens = (pool == static_cast<int64_t>(p)).nonzero().flatten();
      const auto best = std::get<1>(score.index_select(0, tokens).topk(counts[p]));
      const auto expected = at::zeros({tokens.size(0)}, at::kBool).index_fill_(0, best, true);
      EXPECT_TRUE(at::equal(enters.index_select(0, tokens), expected)) << scope << " " << p;
    }
  }
}

TEST(BaseRouter, EvensTheLoadsInTrainingAndTakesTheBestAfterwards) {
  const auto router = make_router(config_of("base", 8));
  auto c = random_context({.groups = one_group(8)});
  c.x_TD = c.x_TD + 2;  // all tokens like the same experts
  const auto even = router->route(in_training(c));
  EXPECT_TRUE(at::equal(at::bincount(even.expert_N, {}, 8), at::full({8}, 3, at::kLong)));
  EXPECT_TRUE(at::allclose(even.weight_N, even.logits_TE.index({even.token_N, even.expert_N}).sigmoid()));
  const auto greedy = router->route(c);
  EXPECT_TRUE(at::equal(greedy.expert_N, greedy.logits_TE.argmax(1)));
}

TEST(PatchSelectRouter, KeepsTheStrongestTokensOfEachSample) {
  auto config = config_of("patch_select", 4);
  const auto c = three_samples(4);
  const auto r = make_router(config)->route(c);
  const auto sample_N = c.sample_T.index_select(0, r.token_N);
  for (const auto& [sample, places] : {std::pair{0, 6}, {1, 4}, {2, 2}})
    for (int64_t e = 0; e < 4; ++e) EXPECT_LE(((r.expert_N == e) & (sample_N == sample)).sum().item<int64_t>(), places);
}

TEST(PatchSelectRouter, WithRoomForAllIsTopKWithoutNormalising) {
  auto config = config_of("patch_select", 4);
  config.capacity_factor = 2;  // E / K
  const auto router = make_router(config);
  const auto topk = make_router({.name = "topk", .model_dim = kWidth, .num_experts = 4, .normalise = "none"});
  const at::NoGradGuard no_grad;
  topk->named_parameters()["weight"].copy_(router->named_parameters()["weight"]);
  const auto c = three_samples(4);
  EXPECT_TRUE(at::allclose(table_of(router->route(c)), table_of(topk->route(c))));
}

TEST(PatchSelectRouter, GivesTheGateAGradientOnlyWhereItWeighs) {
  auto config = config_of("patch_select", 4);
  for (const std::string combine : {"gate", "sum", "none"}) {
    config.combine = combine;
    const auto r = make_router(config)->route(three_samples(4));
    EXPECT_EQ(r.weight_N.requires_grad(), combine != "none") << combine;
  }
}

TEST(CompetingRouters, RefuseACapacityThatDropsEverything) {
  for (const auto& [name, key] : {std::pair{"expert_choice", &RouterConfig::capacity_factor},
                                  {"patch_select", &RouterConfig::capacity_factor},
                                  {"mixture_of_depths", &RouterConfig::depth_capacity}}) {
    auto config = config_of(name, 4);
    config.*key = 0;
    EXPECT_THROW(make_router(config), ConfigError) << name;
  }
}

}  // namespace
}  // namespace polyphony::moe
