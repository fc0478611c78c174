// SPDX-License-Identifier: Apache-2.0
// The local expert corrects the global one and never changes it.
#include "moe/blocks/local_expert.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include <cmath>
#include <limits>

#include "core/error.h"

namespace polyphony::moe {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(LocalExpert, IsTheGlobalOneAboveEveryThresholdAndTheLocalOneBelow) {
  LocalExpert expert({.features = 4, .classes = 3});
  const auto h = at::randn({10, 4}), global = at::randn({10, 3});
  EXPECT_TRUE(at::equal(expert.forward(h, global, kInfinity), global));
  EXPECT_TRUE(at::equal(expert.forward(h, global, -kInfinity), expert.logits(h)));
}

TEST(LocalExpert, TeachesTheGateToLetTheGlobalOneWinTies) {
  const auto one_hot = [](std::vector<int64_t> label) {
    return at::zeros({static_cast<int64_t>(label.size()), 3})
        .scatter(1, at::tensor(label, at::kLong).unsqueeze(1), 1.0);
  };
  // Both right, only the local one right, only the global one right, both wrong.
  const auto target = gate_targets(one_hot({0, 1, 2, 2}), one_hot({0, 0, 2, 2}), at::tensor({0, 1, 2, 0}, at::kLong));
  EXPECT_TRUE(at::equal(target, at::tensor({0.0F, 1.0F, 0.0F, 0.0F})));
}

TEST(LocalExpertLoss, CountsTheGlobalOnesErrorsMore) {
  const auto local = at::tensor({0.0F, 0.0F, 3.0F, 0.0F}).view({2, 2});
  const auto global = at::tensor({1.0F, 0.0F, 1.0F, 0.0F}).view({2, 2});
  const auto label = at::tensor({0, 1}, at::kLong);  // the global one errs on the second
  const double a = std::log(2.0), b = std::log1p(std::exp(3.0));
  EXPECT_NEAR(local_expert_loss(local, global, label, 1).item<double>(), (a + b) / 2, 1e-5);
  EXPECT_NEAR(local_expert_loss(local, global, label, 4).item<double>(), (a + 4 * b) / 5, 1e-5);
}

TEST(GateLoss, WeighsBothClassesAlike) {
  // Three of one class, one of the other: the mean of the two classes' means.
  const auto gate = at::tensor({2.0F, 2.0F, 2.0F, 0.0F}), target = at::tensor({0.0F, 0.0F, 0.0F, 1.0F});
  EXPECT_NEAR(gate_loss(gate, target).item<double>(), (std::log1p(std::exp(2.0)) + std::log(2.0)) / 2, 1e-5);
}

TEST(Threshold, IsTheLowestThatKeepsTheGenericAccuracy) {
  // The global one is always right, the local one never; gates 0.2, 0.5, 0.9.
  const auto gate = at::tensor({0.2, 0.5, 0.9}, at::kDouble).logit();
  const auto global = at::tensor({1.0F, 0.0F}).repeat({3, 1}), local = global.flip(1);
  const auto label = at::zeros({3}, at::kLong);
  EXPECT_NEAR(choose_threshold(gate, local, global, label, 0.0), 0.9, 1e-9);
  EXPECT_NEAR(choose_threshold(gate, local, global, label, 0.34), 0.5, 1e-9);
  EXPECT_EQ(choose_threshold(gate, local, global, label, 1.0), -1);
}

TEST(LocalExpert, LearnsAUsersClassWhereTheGlobalOneErrsAndKeepsTheRest) {
  // The user swaps classes 0 and 1 where feature 3 is set; the global expert knows nothing of feature 3.
  at::manual_seed(3);
  const auto batch = [](int64_t n, bool user) {
    const auto label = at::randint(3, {n}, at::kLong);
    auto h = at::one_hot(label, 4).to(at::kFloat) + 0.1 * at::randn({n, 4});
    h.select(1, 3).fill_(user ? 1 : 0);
    const auto swapped = at::where(label < 2, 1 - label, label);
    return std::tuple(h, user ? swapped : label, 10 * h.narrow(1, 0, 3));
  };
  const auto [h, label, global] = batch(40, true);
  const auto [other_h, other_label, other_global] = batch(40, false);
  LocalExpert expert({.features = 4, .classes = 3});
  torch::optim::Adam adam(expert.parameters(), 0.05);
  const auto all_h = at::cat({h, other_h});
  for (int step = 0; step < 300; ++step) {
    adam.zero_grad();
    const auto target = gate_targets(expert.logits(h), global, label);
    const auto z = at::cat({target, at::zeros({40})});
    (local_expert_loss(expert.logits(h), global, label, 4) + gate_loss(expert.gate(all_h), z)).backward();
    adam.step();
  }
  const auto accuracy = [](const at::Tensor& logits, const at::Tensor& y) {
    return (logits.argmax(1) == y).to(at::kFloat).mean().item<float>();
  };
  const auto [test_h, test_label, test_global] = batch(400, true);
  const auto [generic_h, generic_label, generic_global] = batch(400, false);
  const auto [chosen_h, chosen_label, chosen_global] = batch(400, false);
  const double threshold =
      choose_threshold(expert.gate(chosen_h), expert.logits(chosen_h), chosen_global, chosen_label, 0);
  EXPECT_LT(accuracy(test_global, test_label), 0.5);
  EXPECT_GT(accuracy(expert.forward(test_h, test_global, threshold), test_label), 0.95);
  EXPECT_GE(accuracy(expert.forward(generic_h, generic_global, threshold), generic_label),
            accuracy(generic_global, generic_label) - 0.005F);
}

TEST(LocalExpert, RefusesSizesThatAreNone) {
  EXPECT_THROW(LocalExpert({.features = 0, .classes = 3}), ConfigError);
  EXPECT_THROW(gate_targets(at::ones({2, 3}), at::ones({2, 3}), at::zeros({3}, at::kLong)), ShapeError);
}

}  // namespace
}  // namespace polyphony::moe
