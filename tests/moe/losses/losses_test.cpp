// SPDX-License-Identifier: Apache-2.0
// The losses on routings small enough to compute by hand, and their behaviour where something is absent.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "moe/losses/load_balance.h"
#include "moe/losses/router_entropy.h"
#include "moe/losses/router_z.h"
#include "tests/moe/routers/contract_cases.h"

namespace polyphony::moe {
namespace {

// A routing of top-K choices with the given scores; expert_N lists K experts a token.
Routing routing_of(const at::Tensor& score_TE, const std::vector<int64_t>& expert_N, int64_t num_null = 0) {
  const int64_t T = score_TE.size(0), N = static_cast<int64_t>(expert_N.size());
  Routing r{.num_tokens = T, .num_experts = score_TE.size(1) - num_null, .num_null = num_null};
  r.expert_N = at::tensor(expert_N, at::kLong);
  r.token_N = at::arange(T).repeat_interleave(N / T);
  r.weight_N = at::ones({N});
  r.score_TE = score_TE;
  r.logits_TE = score_TE.log();
  return r;
}

at::Tensor table(std::vector<float> values, int64_t columns) { return at::tensor(values).reshape({-1, columns}); }

TEST(LoadBalanceLoss, EqualsTheHandComputedCase) {
  // Two experts, three tokens: f = (2/3, 1/3), P = (0.6, 0.4): 2 (2/3 0.6 + 1/3 0.4) = 16/15.
  const auto r = routing_of(table({0.8F, 0.2F, 0.7F, 0.3F, 0.3F, 0.7F}, 2), {0, 0, 1});
  EXPECT_NEAR(load_balance_loss(r).item<float>(), 16.0 / 15.0, 1e-6);
}

TEST(LoadBalanceLoss, IsOneForEvenLoadWhateverK) {
  const auto even = at::full({4, 4}, 0.25F);
  EXPECT_FLOAT_EQ(load_balance_loss(routing_of(even, {0, 1, 2, 3})).item<float>(), 1);
  EXPECT_FLOAT_EQ(load_balance_loss(routing_of(even, {0, 1, 2, 3, 0, 1, 2, 3})).item<float>(), 1);
  EXPECT_FLOAT_EQ(
      load_balance_loss(routing_of(even, {0, 1, 2, 3, 0, 1, 2, 3}), {.unit = LoadUnit::token}).item<float>(), 2);
}

TEST(LoadBalanceLoss, IsTheNumberOfExpertsWhenOneDoesAll) {
  const auto r = routing_of(table({1, 0, 0, 1, 0, 0}, 3), {0, 0});
  EXPECT_FLOAT_EQ(load_balance_loss(r).item<float>(), 3);
}

TEST(LoadBalanceLoss, NormalisesSigmoidScoresTokenByToken) {
  const auto soft = routing_of(table({0.75F, 0.25F, 0.5F, 0.5F}, 2), {0, 1});
  const auto sigmoid = routing_of(table({0.3F, 0.1F, 0.9F, 0.9F}, 2), {0, 1});
  EXPECT_NEAR(load_balance_loss(sigmoid).item<float>(), load_balance_loss(soft).item<float>(), 1e-6);
}

TEST(LoadBalanceLoss, AveragesTheFrequencyOfNullExperts) {
  // One true expert, two nulls; rows: true, first null, first null, true. f = (1/2, 1/4, 1/4) after averaging.
  const auto score =
      table({0.5F, 0.3F, 0.2F, 0.5F, 0.3F, 0.2F, 0.5F, 0.3F, 0.2F, 0.5F, 0.3F, 0.2F}, 3).requires_grad_();
  const auto loss = load_balance_loss(routing_of(score, {0, 1, 1, 0}, 2));
  EXPECT_NEAR(loss.item<float>(), 3 * (0.5 * 0.5 + 0.25 * 0.3 + 0.25 * 0.2), 1e-6);
  loss.backward();
  EXPECT_TRUE(at::allclose(score.grad().select(1, 1), score.grad().select(1, 2))) << "nulls are pushed alike";
}

const std::vector<ExpertGroup> kGroups = {{.name = "text", .modalities = {Modality::text}, .num_experts = 2},
                                          {.name = "image", .modalities = {Modality::image}, .num_experts = 2}};

TEST(LoadBalanceLoss, BalancesEachGroupOverItsOwnTokens) {
  // Three text tokens as in the hand-computed case above, one image token on one of two image experts.
  const auto score = table({0.8F, 0.2F, 0, 0, 0.7F, 0.3F, 0, 0, 0, 0, 0.9F, 0.1F, 0.3F, 0.7F, 0, 0}, 4);
  const auto r = routing_of(score, {0, 0, 2, 1});
  const auto modality = at::tensor({0, 0, 1, 0}, at::kByte);
  const auto loss = load_balance_loss(r, {.scope = {.modality_T = modality, .groups = kGroups}});
  EXPECT_NEAR(loss.item<float>(), 16.0 / 15.0 + 2 * 0.9, 1e-6);
}

TEST(LoadBalanceLoss, GivesZeroForAnAbsentModalityAndForNoTokens) {
  const auto score = table({0.8F, 0.2F, 0, 0, 0.7F, 0.3F, 0, 0, 0.3F, 0.7F, 0, 0}, 4).requires_grad_();
  const BalanceScope scope{.modality_T = at::zeros({3}, at::kByte), .groups = kGroups};
  const auto loss = load_balance_loss(routing_of(score, {0, 0, 1}), {.scope = scope});
  EXPECT_NEAR(loss.item<float>(), 16.0 / 15.0, 1e-6);
  loss.backward();
  EXPECT_TRUE(score.grad().isfinite().all().item<bool>());

  Routing none{.num_tokens = 0, .num_experts = 4};
  none.token_N = none.expert_N = at::zeros({0}, at::kLong);
  none.weight_N = at::zeros({0});
  none.score_TE = none.logits_TE = at::zeros({0, 4});
  EXPECT_EQ(load_balance_loss(none).item<float>(), 0);
  EXPECT_EQ(sequence_balance_loss(none, at::zeros({0}, at::kLong)).item<float>(), 0);
  EXPECT_EQ(router_z_loss(none).item<float>(), 0);
  EXPECT_EQ(router_entropy_loss(none).item<float>(), 0);
}

TEST(SequenceBalanceLoss, AveragesTheLossesOfTheSamples) {
  const auto score = table({0.8F, 0.2F, 0.7F, 0.3F, 0.3F, 0.7F, 0.6F, 0.4F}, 2);
  const auto r = routing_of(score, {0, 0, 1, 0});
  const auto loss = sequence_balance_loss(r, at::tensor({0, 0, 0, 2}, at::kLong));
  EXPECT_NEAR(loss.item<float>(), (16.0 / 15.0 + 2 * 0.6) / 2, 1e-6) << "sample 1 is empty and does not count";
  EXPECT_NEAR(sequence_balance_loss(r, at::zeros({4}, at::kLong)).item<float>(), load_balance_loss(r).item<float>(),
              1e-6);
}

TEST(DeviceBalanceLoss, EqualsTheExpertLossForOneExpertADevice) {
  const auto r = routing_of(table({0.8F, 0.2F, 0.7F, 0.3F, 0.3F, 0.7F}, 2), {0, 0, 1});
  EXPECT_NEAR(device_balance_loss(r, at::tensor({0, 1}, at::kLong)).item<float>(), 16.0 / 15.0, 1e-6);
  EXPECT_NEAR(device_balance_loss(r, at::tensor({0, 0}, at::kLong)).item<float>(), 1, 1e-6);
}

TEST(RouterZLoss, SquaresTheLogOfTheSumOfExponentials) {
  auto r = routing_of(table({0.5F, 0.5F, 0.5F, 0.5F}, 2), {0, 1});
  r.logits_TE = table({1, 1, 0, -INFINITY}, 2);
  const double z = 1 + std::log(2.0);
  EXPECT_NEAR(router_z_loss(r).item<float>(), (z * z + 0) / 2, 1e-6);
}

TEST(RouterEntropyLoss, IsLogEForEvenAndZeroForCertainTokens) {
  auto r = routing_of(table({0.5F, 0.5F, 0.5F, 0.5F}, 2), {0, 1});
  r.logits_TE = table({3, 3, 5, -INFINITY}, 2).requires_grad_();
  const auto loss = router_entropy_loss(r);
  EXPECT_NEAR(loss.item<float>(), std::log(2.0) / 2, 1e-6);
  loss.backward();
  EXPECT_TRUE(r.logits_TE.grad().isfinite().all().item<bool>());
}

TEST(Losses, SendFiniteGradientsThroughEveryRouterWithScores) {
  for (const auto& test_case : router_cases()) {
    at::manual_seed(1);
    const auto router = make_router(test_case.config);
    const auto c = random_context({.groups = test_case.groups});
    const auto r = router->route(c);
    if (!r.score_TE.defined()) {
      EXPECT_THROW(load_balance_loss(r), ShapeError);
      EXPECT_THROW(router_z_loss(r), ShapeError);
      continue;
    }
    const BalanceScope scope{.modality_T = c.modality_T, .groups = test_case.groups};
    const auto loss = load_balance_loss(r, {.scope = scope}) + sequence_balance_loss(r, c.sample_T) + router_z_loss(r) +
                      router_entropy_loss(r);
    loss.backward();
    const auto grad = router->named_parameters()["weight"].grad();
    EXPECT_TRUE(grad.isfinite().all().item<bool>()) << test_case.label;
    // The only expert of a gate that is normalised before its logits are read has nothing to learn.
    EXPECT_TRUE(test_case.config.num_experts == 1 || grad.abs().sum().item<float>() > 0) << test_case.label;
  }
}

}  // namespace
}  // namespace polyphony::moe
