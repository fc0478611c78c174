// SPDX-License-Identifier: Apache-2.0
// Each loss against a value computed by hand, and at its limits.
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "moe/losses/consistency.h"
#include "moe/losses/contrastive.h"
#include "moe/losses/first_choice_balance.h"
#include "moe/losses/global_balance.h"
#include "moe/losses/heterogeneous_balance.h"
#include "moe/losses/importance_load.h"
#include "moe/losses/load_balance.h"
#include "moe/losses/mutual_information.h"
#include "moe/losses/predictor.h"
#include "moe/losses/router_similarity.h"
#include "tests/moe/losses/loss_cases.h"

namespace polyphony::moe {
namespace {

at::Tensor logs(std::vector<double> probabilities, int64_t columns) { return doubles(probabilities, columns).log(); }
double value(const at::Tensor& loss) { return loss.item<double>(); }

TEST(FirstChoiceBalance, CountsBestExpertsWhateverRowsThereAre) {
  // First choices 0, 0, 1; m = (0.6, 0.4): 2 (2/3 0.6 + 1/3 0.4) = 16/15. Second rows do not count.
  const auto logits = logs({0.8, 0.2, 0.7, 0.3, 0.3, 0.7}, 2);
  EXPECT_NEAR(value(first_choice_balance_loss(routing_of_logits(logits, {0, 0, 1}))), 16.0 / 15.0, 1e-12);
  EXPECT_NEAR(value(first_choice_balance_loss(routing_of_logits(logits, {0, 1, 0, 1, 1, 0}))), 16.0 / 15.0, 1e-12);
}

TEST(FirstChoiceBalance, IsOneForEvenTokensAndEForOneExpert) {
  const auto even = logs({0.75, 0.25, 0.25, 0.75}, 2);
  EXPECT_NEAR(value(first_choice_balance_loss(routing_of_logits(even, {0, 1}))), 1, 1e-12);
  const auto one = doubles({100, 0, 0, 100, 0, 0}, 3);
  EXPECT_NEAR(value(first_choice_balance_loss(routing_of_logits(one, {0, 0}))), 3, 1e-12);
}

TEST(FirstChoiceBalance, TakesTheMeanOfTheSamplesThatHaveTokens) {
  const auto logits = logs({0.8, 0.2, 0.7, 0.3, 0.3, 0.7, 0.6, 0.4}, 2);
  const auto loss =
      first_choice_balance_loss(routing_of_logits(logits, {0, 0, 1, 0}), at::tensor({0, 0, 0, 2}, at::kLong));
  EXPECT_NEAR(value(loss), (16.0 / 15.0 + 2 * 0.6) / 2, 1e-12);
}

TEST(Importance, IsTheSquaredVariationOfTheProbabilities) {
  // Means 0.6 and 0.4: variance 0.02, mean 0.5.
  const auto r = routing_of_logits(logs({0.8, 0.2, 0.4, 0.6}, 2), {0, 1});
  EXPECT_NEAR(value(importance_loss(r)), 0.02 / 0.25, 1e-8);
  EXPECT_NEAR(value(importance_loss(routing_of_logits(logs({0.5, 0.5}, 2), {0}))), 0, 1e-12);
  EXPECT_NEAR(value(importance_loss(routing_of_logits(doubles({100, 0, 0}, 3), {0}))), 3, 1e-6);
}

// Width 1 and no noise drawn; K = 1, so the threshold is the larger logit.
Routing noisy(const at::Tensor& logits_TE, const std::vector<int64_t>& expert_N) {
  auto r = routing_of_logits(logits_TE, expert_N);
  r.noise_TE = at::zeros_like(logits_TE).detach();
  r.noise_width_TE = at::ones_like(logits_TE).detach();
  return r;
}

TEST(Load, IsTheSquaredVariationOfTheChancesToBeChosen) {
  // One token, logits 1 and 0: chances Phi(0) = 0.5 and Phi(-1) = 0.158655.
  const double low = 0.5 * std::erfc(1 / std::sqrt(2.0)), mean = (0.5 + low) / 2;
  const double variance = 2 * (0.5 - mean) * (0.5 - mean);
  EXPECT_NEAR(value(load_loss(noisy(doubles({1, 0}, 2), {0}))), variance / (mean * mean), 1e-8);
  EXPECT_NEAR(value(load_loss(noisy(doubles({1, 0, 0, 1}, 2), {0, 1}))), 0, 1e-8);
}

TEST(Load, TakesTheDrawnNoiseOffTheLogit) {
  // The same chances where the logits hold noise that is known: clean 1 and 0, threshold 3.
  auto r = noisy(doubles({3, 0}, 2), {0});
  r.noise_TE = doubles({2, 0}, 2);
  const auto chance = [](double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); };
  const double a = chance(-2), b = chance(-3), mean = (a + b) / 2;
  EXPECT_NEAR(value(load_loss(r)), 2 * (a - mean) * (a - mean) / (mean * mean + 1e-10), 1e-8);
}

TEST(Load, GivesForbiddenExpertsNoChanceAndNoNan) {
  const auto logits = doubles({1, -INFINITY, 0, 1}, 2).requires_grad_();
  const auto loss = load_loss(noisy(logits, {0, 1}));
  loss.backward();
  EXPECT_TRUE(std::isfinite(value(loss)));
  EXPECT_TRUE(logits.grad().isfinite().all().item<bool>());
}

TEST(GlobalBalance, IsTheLossOfTheUnionOfMicroBatches) {
  const auto a = logs({0.8, 0.2, 0.7, 0.3}, 2), b = logs({0.3, 0.7, 0.1, 0.9}, 2);
  const auto first = routing_of_logits(a, {0, 0}), second = routing_of_logits(b, {1, 1});
  const auto count = counts_of_experts(first) + counts_of_experts(second);
  const auto both = routing_of_logits(at::cat({a, b}), {0, 0, 1, 1});
  EXPECT_NEAR((value(global_balance_loss(first, count)) + value(global_balance_loss(second, count))) / 2,
              value(load_balance_loss(both)), 1e-12);
  EXPECT_NEAR(value(global_balance_loss(first, counts_of_experts(first))), value(load_balance_loss(first)), 1e-12);
  EXPECT_LT(value(global_balance_loss(first, count)), value(load_balance_loss(first))) << "a sample may be one-sided";
}

TEST(MutualInformation, IsMinusLogEForCertainEvenTokensAndZeroForAlikeOnes) {
  const auto sure = doubles({50, 0, 0, 50}, 2);
  EXPECT_NEAR(value(mutual_information_loss(routing_of_logits(sure, {0, 1}))), -std::log(2.0), 1e-9);
  const auto alike = logs({0.3, 0.7, 0.3, 0.7}, 2);
  EXPECT_NEAR(value(mutual_information_loss(routing_of_logits(alike, {1, 1}))), 0, 1e-12);
  const auto h = [](double p) { return -p * std::log(p) - (1 - p) * std::log(1 - p); };
  const auto mixed = logs({0.9, 0.1, 0.3, 0.7}, 2);
  EXPECT_NEAR(value(mutual_information_loss(routing_of_logits(mixed, {0, 1}))), (h(0.9) + h(0.3)) / 2 - h(0.6), 1e-12);
}

TEST(HeterogeneousBalance, IsLoadBalanceForEqualExperts) {
  const auto r = routing_of_logits(logs({0.8, 0.2, 0.7, 0.3, 0.3, 0.7}, 2), {0, 0, 1});
  EXPECT_NEAR(value(heterogeneous_balance_loss(r, at::ones({2}))), 16.0 / 15.0, 1e-12);
}

TEST(HeterogeneousBalance, IsOneAndLeastAtTheSharesThatItWants) {
  // eta = (1, 0.5): shares 1/3 and 2/3, so tau n / (tau n + z) = 0.5 / 1.5 of the rows for the MLP.
  const auto eta = at::tensor({1.0, 0.5}, at::kDouble);
  const auto loss = [&](double p, std::vector<int64_t> rows) {
    return value(heterogeneous_balance_loss(routing_of_logits(logs({p, 1 - p, p, 1 - p, p, 1 - p}, 2), rows), eta));
  };
  EXPECT_NEAR(loss(1.0 / 3, {0, 1, 1}), 1, 1e-12);
  EXPECT_GT(loss(2.0 / 3, {0, 0, 1}), 1);
  EXPECT_GT(loss(0.01, {1, 1, 1}), 1);
  // 3 (1 2/3 2/3 + 0.5 1/3 1/3) = 1.5
  EXPECT_NEAR(loss(2.0 / 3, {0, 0, 1}), 1.5, 1e-12);
}

TEST(RouterSimilarity, WeighsExpertsAndPairsByHowOftenTheyAreChosen) {
  // Choices {0, 1} and {0, 1}: M^T M is all 2, so W is all 1 and the loss is the mean of (sum_e p)^2 = 1.
  const auto p = logs({0.8, 0.2, 0.5, 0.5}, 2);
  EXPECT_NEAR(value(router_similarity_loss(routing_of_logits(p, {0, 1, 0, 1}))), 1, 1e-12);
  // One choice each, both 0: W = diag(2, 0): (2 / 2) (0.64 + 0.25).
  EXPECT_NEAR(value(router_similarity_loss(routing_of_logits(p, {0, 0}))), 0.89, 1e-12);
}

TEST(RouterSimilarity, IsOneForEvenProbabilitiesWhateverPairsAreChosen) {
  const auto even = logs({1.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3}, 3);
  EXPECT_NEAR(value(router_similarity_loss(routing_of_logits(even, {0, 1, 1, 2}))), 1, 1e-12);
}

TEST(Predictor, IsTheCrossEntropyWithTheChoices) {
  auto r = routing_of_logits(logs({0.8, 0.2, 0.4, 0.6}, 2), {0, 1});
  r.predictor_TE = at::zeros({2, 2}, at::kDouble);
  EXPECT_NEAR(value(predictor_loss(r)), std::log(2.0), 1e-12);
  r.predictor_TE = doubles({40, -40, -40, 40}, 2);
  EXPECT_NEAR(value(predictor_loss(r)), 0, 1e-12);
  r.predictor_TE = doubles({std::log(3.0), 0, 0, 0}, 2);  // sigmoid 0.75
  EXPECT_NEAR(value(predictor_loss(r)), (-std::log(0.75) + 3 * std::log(2.0)) / 4, 1e-12);
}

TEST(GateContrastive, IsZeroForOneSampleAndLogBForAlikeGates) {
  EXPECT_NEAR(value(gate_contrastive_loss(doubles({1, 2}, 2), doubles({2, 1}, 2))), 0, 1e-12);
  const auto alike = doubles({1, 2, 1, 2, 1, 2}, 2);
  EXPECT_NEAR(value(gate_contrastive_loss(alike, alike)), std::log(3.0), 1e-12);
}

TEST(GateContrastive, RewardsGatesThatMatchTheirOwnView) {
  // Orthogonal gates, temperature 1: log(1 + e^-1).
  const auto gates = doubles({2, 0, 0, 3}, 2);
  EXPECT_NEAR(value(gate_contrastive_loss(gates, gates, 1.0)), std::log1p(std::exp(-1.0)), 1e-12);
  EXPECT_GT(value(gate_contrastive_loss(gates, gates.flip(0), 1.0)), value(gate_contrastive_loss(gates, gates, 1.0)));
}

TEST(PrototypeContrastive, PullsPrototypesToTheMeanOfTheirTokens) {
  const auto prototypes = doubles({1, 0, 0, 1, 5, 5}, 2);
  const auto x = doubles({2, 1, 2, -1, 0, 3}, 2);  // means (2, 0) of expert 0 and (0, 3) of expert 1; expert 2 has none
  const auto expert = at::tensor({0, 0, 1}, at::kLong);
  EXPECT_NEAR(value(prototype_contrastive_loss(prototypes, x, expert, 1.0)), std::log1p(std::exp(-1.0)), 1e-12);
  EXPECT_EQ(value(prototype_contrastive_loss(prototypes, x, at::tensor({0, 0, -1}, at::kLong))), 0)
      << "one expert alone has nothing to be told from";
}

TEST(Consistency, IsTheSymmetricDivergence) {
  const auto p = logs({0.8, 0.2}, 2), q = logs({0.5, 0.5}, 2);
  const double expected = 0.5 * (0.3 * std::log(0.8 / 0.5) - 0.3 * std::log(0.2 / 0.5));
  EXPECT_NEAR(value(consistency_loss(p, q)), expected, 1e-12);
  EXPECT_NEAR(value(consistency_loss(q, p)), expected, 1e-12);
  EXPECT_EQ(value(consistency_loss(p, p)), 0);
  EXPECT_EQ(value(consistency_loss(at::zeros({0, 2}), at::zeros({0, 2}))), 0);
}

TEST(Consistency, StaysFiniteForVeryCertainPasses) {
  EXPECT_NEAR(value(consistency_loss(doubles({2000, 0}, 2), doubles({0, 2000}, 2))), 2000, 1e-6);
}

TEST(Losses, RefuseShapesThatDoNotFit) {
  const auto r = routing_of_logits(logs({0.8, 0.2}, 2), {0});
  EXPECT_THROW(global_balance_loss(r, at::ones({3})), ShapeError);
  EXPECT_THROW(heterogeneous_balance_loss(r, at::zeros({2})), ShapeError);
  EXPECT_THROW(load_loss(r), ShapeError);
  EXPECT_THROW(predictor_loss(r), ShapeError);
  EXPECT_THROW(consistency_loss(at::ones({2, 3}), at::ones({2, 2})), ShapeError);
  EXPECT_THROW(gate_contrastive_loss(at::ones({2, 3}), at::ones({1, 3})), ShapeError);
  EXPECT_THROW(prototype_contrastive_loss(at::ones({2, 3}), at::ones({4, 2}), at::zeros({4}, at::kLong)), ShapeError);
}

}  // namespace
}  // namespace polyphony::moe
