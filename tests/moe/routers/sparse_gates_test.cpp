// SPDX-License-Identifier: Apache-2.0
// Gates that saturate: the smooth step, DSelect-k and the tree gate with its local search.
#include <gtest/gtest.h>

#include "moe/routers/smooth_step.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

TEST(SmoothStep, RisesFromExactlyZeroToExactlyOneWithoutCorners) {
  const auto u = at::linspace(-3, 3, 61, at::kDouble).requires_grad_();
  const auto s = smooth_step(u, 2.0);
  EXPECT_TRUE((s.index({u <= -1}) == 0).all().item<bool>());
  EXPECT_TRUE((s.index({u >= 1}) == 1).all().item<bool>());
  EXPECT_TRUE(at::allclose(s, 1 - s.flip(0)));
  EXPECT_NEAR(smooth_step(at::full({}, 0.5, at::kDouble), 2.0).item<double>(), -2.0 / 64 + 1.5 / 4 + 0.5, 1e-12);
  s.sum().backward();
  EXPECT_LT(u.grad().index({(u.detach().abs() - 1).abs() < 0.01}).abs().max().item<double>(), 1e-6);
}

TEST(DSelectKRouter, NamesAtMostKExpertsOnceItsStepsAreSaturated) {
  const auto router = make_router({.name = "dselect_k", .model_dim = kWidth, .num_experts = 8, .experts_per_token = 3});
  const auto c = random_context({.groups = one_group(8)});
  EXPECT_GT(router->route(c).token_N.size(0), 24 * 3) << "soft at the start";
  const at::NoGradGuard no_grad;
  router->named_parameters()["weight"].mul_(1e5);
  const auto r = router->route(c);
  EXPECT_LE(rows_of_token(r).max().item<int64_t>(), 3);
  EXPECT_LT(r.own_loss.item<float>(), 1e-3);
}

TEST(DSelectKRouter, MixesProductsOfCodeBits) {
  const auto router = make_router({.name = "dselect_k", .model_dim = kWidth, .num_experts = 4, .experts_per_token = 2});
  const auto c = random_context({.tokens = 3, .groups = one_group(4)});
  const auto p = router->named_parameters();
  const auto s = smooth_step(at::matmul(c.x_TD, p["weight"].t()), 1.0).reshape({3, 2, 2});
  const auto a = at::matmul(c.x_TD, p["mixture_weight"].t()).softmax(1);
  auto expected = at::zeros({3, 4});
  for (int64_t k = 0; k < 2; ++k)
    for (int64_t e = 0; e < 4; ++e) {
      const auto b0 = s.select(1, k).select(1, 0), b1 = s.select(1, k).select(1, 1);
      expected.select(1, e) += a.select(1, k) * ((e & 1) != 0 ? b0 : 1 - b0) * ((e & 2) != 0 ? b1 : 1 - b1);
    }
  EXPECT_TRUE(at::allclose(table_of(router->route(c)), expected, 1e-4, 1e-5));
}

RouterConfig tree_config(int64_t num_experts, int64_t num_trees) {
  auto config = router_defaults("tree");
  config.model_dim = kWidth;
  config.num_experts = num_experts;
  config.num_trees = num_trees;
  return config;
}

TEST(TreeRouter, IsASoftmaxOfLeafScoresAndLogReaches) {
  const auto router = make_router(tree_config(3, 1));
  const auto c = random_context({.tokens = 5, .groups = one_group(3)});
  const auto p = router->named_parameters();
  const auto q = smooth_step(at::matmul(c.x_TD, p["split_weight"].t()) + p["split_bias"], 10.0);
  const auto q0 = q.select(1, 0), q1 = q.select(1, 1);
  // Nodes 0 and 1 split; node 2 is a leaf, as are 3 and 4 under node 1.
  const auto reach = at::stack({1 - q0, q0 * q1, q0 * (1 - q1)}, 1);
  const auto score = at::matmul(c.x_TD, p["weight"].t()) + p["bias"];
  EXPECT_TRUE(at::allclose(table_of(router->route(c)), (score + (reach + 1e-8).log()).softmax(1), 1e-4, 1e-5));
}

TEST(TreeRouter, LeadsATokenToAtMostOneExpertATreeOnceItsSplitsAreSaturated) {
  const auto router = make_router(tree_config(11, 2));
  const auto c = random_context({.groups = one_group(11)});
  EXPECT_EQ(router->route(c).token_N.size(0), 24 * 11);
  const at::NoGradGuard no_grad;
  router->named_parameters()["split_weight"].mul_(1e6);
  const auto r = router->route(c);
  EXPECT_LE(rows_of_token(r).max().item<int64_t>(), 2);
  EXPECT_LT(r.own_loss.item<float>(), 1e-3);
}

TEST(TreeRouter, SearchesTheOrderOfItsExpertsAndThenKeepsTheBestPermutation) {
  auto config = tree_config(4, 1);
  config.search_steps = 10;
  const auto router = make_router(config);
  const auto c = random_context({.groups = one_group(4)});
  const auto plain = make_router(tree_config(4, 1));
  {
    const at::NoGradGuard no_grad;
    for (const auto& item : plain->named_parameters()) item.value().copy_(router->named_parameters()[item.key()]);
    // Expert e wants leaf 3 - e.
    router->named_parameters()["order_logits"].copy_(at::eye(4).flip(1) * 5);
  }
  const auto searching = router->route(in_training(c, 0));
  EXPECT_TRUE(at::allclose(table_of(searching).sum(1), at::ones({24}), 0, 1e-4));
  searching.weight_N.square().sum().backward();
  EXPECT_GT(router->named_parameters()["order_logits"].grad().abs().sum().item<float>(), 0);
  const auto expected = table_of(plain->route(c)).flip(1);
  EXPECT_TRUE(at::allclose(table_of(router->route(in_training(c, 10))), expected));
  EXPECT_TRUE(at::equal(router->named_buffers()["leaf_of_expert"], at::tensor({3, 2, 1, 0}, at::kLong)));
  const at::NoGradGuard no_grad;
  router->named_parameters()["order_logits"].copy_(at::eye(4));
  EXPECT_TRUE(at::allclose(table_of(router->route(in_training(c, 11))), expected)) << "decided once";
}

}  // namespace
}  // namespace polyphony::moe
