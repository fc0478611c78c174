// SPDX-License-Identifier: Apache-2.0
// Switch, GShard, noisy, cosine, Laplace and sparse-mixer routers against plain definitions, and the update of the
// choice bias.
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "moe/choice_bias.h"
#include "moe/moe_layer.h"
#include "moe/routers/noise.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

// Routing of `name` and of topk with the same gate.
std::pair<at::Tensor, at::Tensor> beside_topk(const RouterConfig& config, const RouterConfig& topk,
                                              const RoutingContext& context) {
  const auto a = make_router(config), b = make_router(topk);
  const at::NoGradGuard no_grad;
  b->named_parameters()["weight"].copy_(a->named_parameters()["weight"]);
  return {table_of(a->route(context)), table_of(b->route(context))};
}

TEST(SwitchRouter, IsTopOneWeighedByTheProbability) {
  const auto [a, b] =
      beside_topk(config_of("switch", 6),
                  {.name = "topk", .model_dim = kWidth, .num_experts = 6, .experts_per_token = 1, .normalise = "none"},
                  random_context({.groups = one_group(6)}));
  EXPECT_TRUE(at::equal(a, b));
}

TEST(GShardRouter, WithoutASecondExpertIsTopOneAndWithAllOfThemTopTwo) {
  const auto c = in_training(random_context({.groups = one_group(6)}));
  auto config = config_of("gshard", 6);
  for (const auto& [policy, K] : {std::pair{"none", 1}, {"all", 2}}) {
    config.second_policy = policy;
    const auto [a, b] =
        beside_topk(config, {.name = "topk", .model_dim = kWidth, .num_experts = 6, .experts_per_token = K}, c);
    EXPECT_TRUE(at::allclose(a, b)) << policy;
  }
}

TEST(GShardRouter, KeepsTheSecondExpertInProportionToItsWeightWhileTraining) {
  const auto router = with_identity_gate("gshard", {.num_experts = 3});
  const int64_t T = 8000;
  const auto logits = at::tensor({1.0F, 0.0F, -9.0F});
  auto c = text_context(logits.expand({T, 3}).contiguous(), 3);
  EXPECT_EQ(router->route(c).token_N.size(0), 2 * T) << "no chance outside training";
  const double second = 1 / (1 + std::exp(1.0)), expected = second / 0.5;
  const double kept = static_cast<double>(router->route(in_training(c)).token_N.size(0) - T) / T;
  EXPECT_NEAR(kept, expected, 4 * std::sqrt(expected * (1 - expected) / T));
}

TEST(GShardRouter, KeepsASecondExpertAboveTheThresholdOnly) {
  const auto router =
      with_identity_gate("gshard", {.num_experts = 2, .second_policy = "threshold", .second_threshold = 0.3});
  const auto r = router->route(text_context(at::tensor({2.0F, 0.0F, 0.5F, 0.0F}).reshape({2, 2}), 2));
  EXPECT_TRUE(at::equal(rows_of_token(r), at::tensor({1, 2}, at::kLong)));
}

TEST(NoisyTopKRouter, AddsNoiseOfTheScheduledWidthInTrainingOnly) {
  auto config = config_of("noisy_topk", 8);
  config.noise = "fixed";
  config.gate_noise = 4;
  config.gate_noise_end = 0;
  config.gate_noise_steps = 100;
  const auto router = make_router(config);
  const auto c = random_context({.tokens = 400, .groups = one_group(8)});
  const auto quiet = router->route(c);
  EXPECT_FALSE(quiet.noise_TE.defined());
  const auto half = router->route(in_training(c, 50));
  EXPECT_TRUE(at::allclose(half.noise_width_TE, at::full({400, 8}, 2.0 / 8)));
  EXPECT_NEAR(half.noise_TE.std().item<double>(), 0.25, 0.01);
  EXPECT_TRUE(at::allclose(half.logits_TE - half.noise_TE, quiet.logits_TE, 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(table_of(router->route(in_training(c, 100))), table_of(quiet)));
}

TEST(NoisyTopKRouter, StartsWithTheSameLearnedWidthForEveryExpert) {
  const auto router = make_router(config_of("noisy_topk", 8));
  const auto r = router->route(in_training(random_context({.groups = one_group(8)})));
  EXPECT_TRUE(at::allclose(r.noise_width_TE, at::full({24, 8}, std::log(2.0)), 1e-5, 0));
}

TEST(NoisyTopKRouter, RefusesNoiseThatEndsBelowZeroAndSaysWhy) {
  auto config = config_of("noisy_topk", 8);
  config.gate_noise_end = -0.5;
  try {
    make_router(config);
    FAIL() << "expected ConfigError";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "[moe] gate_noise_end must be a number from 0, got -0.5");
  }
}

TEST(Schedule, HitsBothEndsAndStaysAtTheLast) {
  const Schedule linear{2, 1, 10}, exponential{2, 0.5, 10, true}, none{2, 1, 0};
  EXPECT_DOUBLE_EQ(linear.at_step(0), 2);
  EXPECT_DOUBLE_EQ(linear.at_step(5), 1.5);
  EXPECT_DOUBLE_EQ(linear.at_step(10), 1);
  EXPECT_DOUBLE_EQ(linear.at_step(999), 1);
  EXPECT_DOUBLE_EQ(exponential.at_step(5), 1);
  EXPECT_DOUBLE_EQ(exponential.at_step(10), 0.5);
  EXPECT_DOUBLE_EQ(none.at_step(0), 1);
}

TEST(CosineRouter, ComparesDirectionsAndLearnsATemperature) {
  const auto router = make_router(config_of("cosine", 5));
  auto c = random_context({.groups = one_group(5)});
  const auto p = router->named_parameters();
  const auto low = at::matmul(c.x_TD, p["projection"].t());
  const auto expected = 2 * at::cosine_similarity(low.unsqueeze(1), p["weight"].unsqueeze(0), 2);
  const auto logits = router->route(c).logits_TE;
  EXPECT_TRUE(at::allclose(logits, expected, 1e-4, 1e-5)) << "exp(ln 2) = 2 at the start";
  c.x_TD = c.x_TD * 7;
  EXPECT_TRUE(at::allclose(router->route(c).logits_TE, logits, 1e-4, 1e-5));
  const at::NoGradGuard no_grad;
  p["log_scale"].fill_(50);
  EXPECT_LE(router->route(c).logits_TE.abs().max().item<float>(), 100.01F);
}

TEST(LaplaceRouter, TakesTheNearestExpertsByTheSoftmaxOfMinusTheDistance) {
  auto config = config_of("laplace", 5);
  for (const int64_t power : {1, 2}) {
    config.distance_power = power;
    const auto router = make_router(config);
    auto c = random_context({.groups = one_group(5)});
    const auto weight = router->named_parameters()["weight"];
    const auto distance = (c.x_TD.unsqueeze(1) - weight.unsqueeze(0)).norm(2, 2).pow(static_cast<double>(power));
    const auto r = router->route(c);
    EXPECT_TRUE(at::allclose(r.logits_TE, -distance, 1e-4, 1e-5));
    const auto before = table_of(r);
    const at::NoGradGuard no_grad;
    c.x_TD = c.x_TD + 3;
    weight.add_(3);
    EXPECT_TRUE(at::allclose(table_of(router->route(c)), before, 1e-3, 1e-4)) << "the same shift for all";
    c.x_TD = c.x_TD * 1e4;
    EXPECT_NO_THROW(check_routing(router->route(c)));
  }
}

TEST(SparseMixerRouter, WeighsTheBestAmongTheCloseAndThenAmongTheRest) {
  // Within 2 epsilon = 0.2 of the larger size: 1.0 and 0.9 compete, then 0.9 and 0.8, not 0.1.
  const auto router = with_identity_gate("sparse_mixer", {.num_experts = 4, .mixer_epsilon = 0.1});
  const auto r = router->route(text_context(at::tensor({1.0F, 0.9F, 0.8F, 0.1F}).reshape({1, 4}), 4));
  EXPECT_TRUE(at::equal(r.expert_N, at::tensor({0, 1}, at::kLong)));
  const double share = std::exp(0.1) / (std::exp(0.1) + 1);
  // 0.8 is at 0.2 of 1.0: on the edge in f32, so compare with both readings of the first weight.
  const double three = std::exp(0.2) / (std::exp(0.2) + std::exp(0.1) + 1);
  EXPECT_NEAR(std::min(std::abs(r.weight_N[0].item<double>() - share), std::abs(r.weight_N[0].item<double>() - three)),
              0, 1e-5);
  EXPECT_NEAR(r.weight_N[1].item<double>(), share, 1e-5);
}

TEST(SparseMixerRouter, CountsADrawByAThirdButLearnsFromTheWholeWeight) {
  const auto router =
      with_identity_gate("sparse_mixer", {.num_experts = 3, .experts_per_token = 1, .mixer_epsilon = 0.4});
  const int64_t T = 300;
  auto c = in_training(text_context(at::tensor({1.0F, 0.9F, 0.8F}).expand({T, 3}).contiguous().requires_grad_(), 3));
  const auto r = router->route(c);
  r.weight_N.sum().backward();
  const auto p = at::tensor({1.0F, 0.9F, 0.8F}).softmax(0);
  const auto drawn = p.index_select(0, r.expert_N);
  const auto ratio = (r.weight_N / drawn).detach();
  EXPECT_TRUE(((ratio - 1).abs().lt(1e-5) | (ratio - 1.0 / 3).abs().lt(1e-5)).all().item<bool>());
  EXPECT_TRUE((ratio.index({r.expert_N == 0}) - 1).abs().lt(1e-5).all().item<bool>()) << "the best counts whole";
  EXPECT_GT((ratio < 0.5).sum().item<int64_t>(), 20);
  const auto one_hot = at::one_hot(r.expert_N, 3).to(at::kFloat);
  EXPECT_TRUE(at::allclose(c.x_TD.grad(), drawn.unsqueeze(1) * (one_hot - p), 1e-4, 1e-6));
}

TEST(SigmoidBiasRouter, LowersTheBiasOfBusyExpertsWithinTheirGroup) {
  MoEConfig config{.router = config_of("sigmoid_bias", 0), .experts = {.expert_hidden = 4}};
  config.router.choice_bias_rate = 0.5;
  config.groups = {{.name = "text", .modalities = {Modality::text}, .num_experts = 2},
                   {.name = "image", .modalities = {Modality::image}, .num_experts = 2}};
  MoELayer layer(config);
  Routing routing{.token_N = at::arange(4),
                  .expert_N = at::tensor({0, 0, 0, 1}, at::kLong),
                  .weight_N = at::ones({4}),
                  .num_tokens = 4,
                  .num_experts = 4};
  follow_load(layer, routing);
  EXPECT_TRUE(at::equal(layer.router()->choice_bias(), at::tensor({-0.5F, 0.5F, 0.0F, 0.0F})));
}

}  // namespace
}  // namespace polyphony::moe
