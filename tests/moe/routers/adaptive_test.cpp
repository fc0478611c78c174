// SPDX-License-Identifier: Apache-2.0
// Routers that spend a varying number of experts: dynamic capacity, gating residuals with zero experts, dense-to-sparse
// gate, dense training.
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "moe/moe_layer.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

// Logits whose softmax is 0.5, 0.3, 0.15, 0.05.
at::Tensor graded() { return at::tensor({0.5F, 0.3F, 0.15F, 0.05F}).log().reshape({1, 4}); }

TEST(DynamicCapacityRouter, TakesOneMoreThanTheCumulativeProbabilitiesBelowP) {
  for (const auto& [p, count] : {std::pair{0.0, 1}, {0.49, 1}, {0.7, 2}, {0.81, 3}, {0.96, 4}, {1.0, 4}}) {
    const auto r =
        with_identity_gate("dynamic_capacity", {.num_experts = 4, .top_p = p})->route(text_context(graded(), 4));
    EXPECT_EQ(r.token_N.size(0), count) << p;
    EXPECT_TRUE(at::allclose(r.weight_N, at::full({count}, 1.0 / count), 1e-5, 0)) << "shared evenly";
  }
}

TEST(DynamicCapacityRouter, LeavesTheSharedExpertItsPartOfAJointSoftmax) {
  const auto router = with_identity_gate("dynamic_capacity", {.num_experts = 4, .shared_expert = true, .top_p = 0.7});
  {
    const at::NoGradGuard no_grad;
    router->named_parameters()["shared_weight"].copy_(at::tensor({0.0F, 0.0F, 0.0F, 0.1F}).reshape({1, 4}));
  }
  const auto r = router->route(text_context(graded(), 4));
  const double shared = std::exp(0.1 * std::log(0.05));
  EXPECT_NEAR(r.shared_weight_T.item<double>(), shared / (shared + 0.8), 1e-5);
  EXPECT_NEAR(r.weight_N.sum().item<double>(), 0.8 / (shared + 0.8), 1e-5);
}

TEST(DynamicCapacityRouter, GivesTheSharedExpertAloneToATokenOfNullExperts) {
  MoEConfig config{.router = config_of("dynamic_capacity", 2), .experts = {.expert_hidden = 4}, .shared_hidden = 8};
  config.router.num_null = 1;
  config.router.top_p = 0;
  MoELayer layer(config);
  const at::NoGradGuard no_grad;
  auto gate = layer.named_parameters()["gate.weight"];
  gate.zero_();
  gate[2].fill_(1);
  auto c = text_context(at::rand({5, kWidth}) + 0.5, 2);
  const auto out = layer.forward(c);
  EXPECT_TRUE((out.routing.expert_N == 2).all().item<bool>());
  const auto w13 = layer.named_parameters()["shared_experts.w13"], w2 = layer.named_parameters()["shared_experts.w2"];
  const auto h = at::linear(c.x_TD, w13).chunk(2, 1);
  const auto expected = at::linear(at::silu(h[0]) * h[1], w2) * out.routing.shared_weight_T.unsqueeze(1);
  EXPECT_TRUE(at::allclose(out.y_TD, expected, 1e-4, 1e-6));
}

TEST(GatingResidualRouter, AddsAMapOfTheLogitsOfTheLayerBefore) {
  auto config = config_of("gating_residual", 5);
  config.num_null = 2;
  config.gate_hidden = 6;
  config.num_layers = 2;
  const auto first = make_router(config);
  config.layer = 1;
  const auto second = make_router(config);
  EXPECT_FALSE(first->named_parameters().contains("residual"));
  auto c = random_context({.groups = one_group(5)});
  const auto g = [&](const Router& router) {
    const auto p = router.named_parameters();
    return at::matmul(at::matmul(c.x_TD, p["hidden"].t()).tanh(), p["weight"].t());
  };
  const auto before = first->route(c);
  EXPECT_TRUE(at::allclose(before.state_TP, g(*first), 1e-5, 1e-6));
  c.state_TP = before.state_TP;
  const auto expected = g(*second) + at::matmul(before.state_TP, second->named_parameters()["residual"].t());
  EXPECT_TRUE(at::allclose(second->route(c).state_TP, expected, 1e-5, 1e-6));
}

TEST(GatingResidualRouter, WithoutTheMapIsTheNullExpertRouter) {
  auto config = config_of("gating_residual", 5);
  config.num_null = 2;
  config.num_layers = 2;
  config.layer = 1;
  const auto router = make_router(config);
  const auto null = make_router({.name = "null_experts", .model_dim = kWidth, .num_experts = 5, .num_null = 2});
  const at::NoGradGuard no_grad;
  router->named_parameters()["residual"].zero_();
  null->named_parameters()["weight"].copy_(router->named_parameters()["weight"].narrow(0, 0, 5));
  null->named_parameters()["null_weight"].copy_(router->named_parameters()["weight"].narrow(0, 5, 2));
  auto c = random_context({.groups = one_group(5)});
  c.state_TP = at::randn({24, 7});
  EXPECT_TRUE(at::equal(table_of(router->route(c)), table_of(null->route(c))));
}

double rows_at(double temperature, double threshold) {
  auto config = config_of("dense_to_sparse", 8);
  config.temperature_end = temperature;
  config.temperature_steps = 0;
  config.gate_threshold = threshold;
  at::manual_seed(3);
  const auto r = make_router(config)->route(in_training(random_context({.groups = one_group(8)})));
  return static_cast<double>(r.token_N.size(0)) / 24;
}

TEST(DenseToSparseRouter, GoesFromAllExpertsToOneAsTheTemperatureFalls) {
  EXPECT_EQ(rows_at(100, 0.001), 8);
  EXPECT_EQ(rows_at(1e-4, 0.001), 1);
  EXPECT_EQ(rows_at(1, 0), 8);
  EXPECT_EQ(rows_at(1, 1), 1) << "the best stays, whatever the threshold";
}

TEST(DenseToSparseRouter, IsTheSoftmaxAtTheTemperatureThatTrainingReached) {
  auto config = config_of("dense_to_sparse", 4);
  config.temperature = 2;
  config.temperature_end = 0.5;
  config.temperature_steps = 10;
  config.gate_threshold = 0;
  const auto router = with_identity_gate("dense_to_sparse", config);
  const auto c = text_context(graded(), 4);
  EXPECT_TRUE(at::allclose(router->route(c).score_TE, (graded() / 2).softmax(1)));
  router->route(in_training(c, 5));
  EXPECT_TRUE(at::allclose(router->route(c).score_TE, graded().softmax(1), 1e-5, 1e-6)) << "half way in the logarithm";
  router->route(in_training(c, 400));
  EXPECT_TRUE(at::allclose(router->route(c).score_TE, (graded() / 0.5).softmax(1), 1e-5, 1e-6));
}

TEST(DenseToSparseRouter, RefusesATemperatureThatEndsAtOrBelowZero) {
  auto config = config_of("dense_to_sparse", 4);
  for (const double end : {0.0, -1.0}) {
    config.temperature_end = end;
    EXPECT_THROW(make_router(config), ConfigError);
  }
}

TEST(DenseTrainingRouter, TrainsAllExpertsAndInfersWithTheBest) {
  auto config = config_of("dense_training", 4);
  const auto router = with_identity_gate("dense_training", config);
  const auto c = text_context(graded(), 4);
  const auto dense = router->route(in_training(c));
  EXPECT_TRUE(at::allclose(table_of(dense), graded().softmax(1)));
  EXPECT_EQ(router->route(c).token_N.size(0), 2);
  auto all = c;
  all.experts_per_token = 4;
  EXPECT_TRUE(at::equal(table_of(router->route(all)), table_of(dense))) << "K = E is the training path";
  config.experts_per_token = 4;
  config.gate_threshold = 0.1;
  EXPECT_EQ(with_identity_gate("dense_training", config)->route(c).token_N.size(0), 3);
}

}  // namespace
}  // namespace polyphony::moe
