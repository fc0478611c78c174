// SPDX-License-Identifier: Apache-2.0
// The attack stays in its ball, and each half of an alternating step leaves the other half's weights alone.
#include "moe/adversarial.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "moe/moe_layer.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

TEST(Attack, GoesToTheEdgeOfTheBallAlongTheGradientAndStaysInRange) {
  const auto x = at::tensor({0.5F, 0.5F, 0.99F, 0.0F});
  const auto direction = at::tensor({1.0F, -2.0F, 1.0F, -1.0F});
  const auto y = attacked(x, [&](const at::Tensor& v) { return (v * direction).sum(); },
                          {.radius = 0.1, .step_size = 0.08, .steps = 2});
  EXPECT_TRUE(at::allclose(y, at::tensor({0.6F, 0.4F, 1.0F, 0.0F}), 0, 1e-6));
}

TEST(Attack, WithoutStepsOrRadiusIsTheInput) {
  const auto x = at::rand({5});
  const auto never = [](const at::Tensor& v) { return v.sum(); };
  EXPECT_TRUE(at::equal(attacked(x, never, {.steps = 0}), x));
  EXPECT_TRUE(at::equal(attacked(x, never, {.radius = 0}), x));
}

TEST(LearningPart, LetsRoutersOrExpertsLearnAndNothingElse) {
  auto router = router_defaults("pathway");
  router.model_dim = kWidth;
  router.num_experts = 3;
  MoELayer layer({.router = router, .experts = {.expert_hidden = 4}});
  const auto c = random_context({.groups = one_group(3)});
  const auto learned = [&] {
    std::vector<std::string> names;
    for (auto& item : layer.named_parameters()) item.value().mutable_grad().reset();
    layer.forward(c).y_TD.square().sum().backward();
    for (const auto& item : layer.named_parameters())
      if (item.value().grad().defined()) names.push_back(item.key());
    return names;
  };
  EXPECT_EQ(let_learn(layer, LearningPart::routers), 1);
  EXPECT_EQ(learned(), std::vector<std::string>{"gate.weight"});
  EXPECT_EQ(let_learn(layer, LearningPart::experts), 2);
  EXPECT_EQ(learned(), (std::vector<std::string>{"experts.w13", "experts.w2"}));
}

}  // namespace
}  // namespace polyphony::moe
