// SPDX-License-Identifier: Apache-2.0
// The recurrent router: its cell by the formula, sharing between layers, and what flows from layer to layer.
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

constexpr int64_t kState = 6;

std::shared_ptr<Router> router_with(RouterConfig config = {}) {
  config.name = "recurrent";
  config.model_dim = kWidth;
  config.num_experts = 5;
  config.state_dim = kState;
  return make_router(config);
}

RoutingContext context() { return random_context({.groups = one_group(5)}); }

TEST(RecurrentRouter, ComputesAGatedRecurrentUnit) {
  const auto router = router_with();
  auto c = context();
  c.state_TP = at::randn({24, kState});
  const auto p = router->named_parameters();
  const auto x = at::matmul(c.x_TD, p["projection"].t());
  const auto in = (at::matmul(x, p["cell.weight_ih"].t()) + p["cell.bias_ih"]).chunk(3, 1);
  const auto hidden = (at::matmul(c.state_TP, p["cell.weight_hh"].t()) + p["cell.bias_hh"]).chunk(3, 1);
  const auto reset = (in[0] + hidden[0]).sigmoid(), update = (in[1] + hidden[1]).sigmoid();
  const auto candidate = (in[2] + reset * hidden[2]).tanh();
  const auto expected = (1 - update) * candidate + update * c.state_TP;
  const auto r = router->route(c);
  EXPECT_TRUE(at::allclose(r.state_TP, expected, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(r.logits_TE, at::matmul(expected, p["weight"].t()), 1e-5, 1e-6));
}

TEST(RecurrentRouter, OwnsItsCellInOneLayerAlone) {
  const auto first = router_with(), second = router_with();
  second->share(first->shared_part());
  EXPECT_EQ(second->shared_part(), first->shared_part());
  EXPECT_TRUE(first->named_parameters().contains("cell.weight_ih"));
  EXPECT_FALSE(second->named_parameters().contains("cell.weight_ih"));
  first->share(first->shared_part());
  EXPECT_TRUE(first->named_parameters().contains("cell.weight_ih"));
  EXPECT_THROW(second->share(nullptr), ConfigError);
}

// The gradient that layer 2's logits send to layer 1's projection.
at::Tensor gradient_through_layers(const std::string& recurrence) {
  at::manual_seed(4);
  const auto first = router_with({.recurrence = recurrence}), second = router_with({.recurrence = recurrence});
  second->share(first->shared_part());
  auto c = context();
  c.state_TP = first->route(c).state_TP;
  second->route(c).logits_TE.square().sum().backward();
  return first->named_parameters()["projection"].grad();
}

TEST(RecurrentRouter, SendsGradientsThroughLayersUnlessTheStateIsDetached) {
  EXPECT_GT(gradient_through_layers("carry").abs().sum().item<float>(), 0);
  EXPECT_FALSE(gradient_through_layers("detach").defined());
  EXPECT_FALSE(gradient_through_layers("reset").defined());
}

TEST(RecurrentRouter, ForgetsTheLayerBeforeWhenReset) {
  const auto router = router_with({.recurrence = "reset"});
  auto c = context();
  const auto without = router->route(c).logits_TE;
  c.state_TP = at::randn({24, kState});
  EXPECT_TRUE(at::equal(without, router->route(c).logits_TE));
}

TEST(RecurrentRouter, RefusesAnUnknownRecurrence) { EXPECT_THROW(router_with({.recurrence = "lstm"}), ConfigError); }

}  // namespace
}  // namespace polyphony::moe
