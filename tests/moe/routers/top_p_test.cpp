// SPDX-License-Identifier: Apache-2.0
// The invariants of top-p routing: its limits at p = 0 and 1, monotony in p, and uniform or certain probabilities.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

std::shared_ptr<Router> router_with(double top_p) {
  at::manual_seed(3);
  return make_router({.name = "top_p", .model_dim = kWidth, .num_experts = 8, .top_p = top_p});
}

RoutingContext context() { return random_context({.groups = one_group(8)}); }

TEST(TopPRouter, IsUnnormalisedTopOneWhenPIsZero) {
  const auto r = router_with(0.0)->route(context());
  EXPECT_TRUE((rows_of_token(r) == 1).all().item<bool>());
  EXPECT_TRUE(at::equal(r.weight_N, r.score_TE.amax(1)));
}

TEST(TopPRouter, IsTheDenseMixtureWhenPIsOne) {
  const auto r = router_with(1.0)->route(context());
  EXPECT_TRUE((rows_of_token(r) == 8).all().item<bool>());
  EXPECT_TRUE(at::equal(table_of(r), r.score_TE));
}

TEST(TopPRouter, TakesTheSmallestSetThatPassesP) {
  const double p = 0.4;
  const auto r = router_with(p)->route(context());
  const auto chosen = table_of(r).clamp_min(0);
  EXPECT_TRUE((chosen.sum(1) > p).all().item<bool>());
  const auto least = chosen.masked_fill(chosen == 0, 2).amin(1);
  EXPECT_TRUE((chosen.sum(1) - least <= p + 1e-6).all().item<bool>());
}

TEST(TopPRouter, TakesNoFewerExpertsWhenPGrows) {
  at::Tensor before = at::zeros({24}, at::kLong);
  for (const double p : {0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0}) {
    const auto rows = rows_of_token(router_with(p)->route(context()));
    EXPECT_TRUE((rows >= before).all().item<bool>()) << p;
    before = rows;
  }
}

TEST(TopPRouter, TakesFloorOfPTimesEPlusOneOfEvenProbabilities) {
  for (const double p : {0.0, 0.1, 0.3, 0.45, 0.6, 0.99}) {
    auto c = context();
    c.x_TD.zero_();
    const auto r = router_with(p)->route(c);
    const auto expected = std::min<int64_t>(8, static_cast<int64_t>(std::floor(p * 8)) + 1);
    EXPECT_TRUE((rows_of_token(r) == expected).all().item<bool>()) << p;
    EXPECT_TRUE(at::equal(r.expert_N.narrow(0, 0, expected), at::arange(expected))) << "ties go to the lower index";
  }
}

TEST(TopPRouter, TakesOneExpertOfACertainToken) {
  const auto router = router_with(0.9);
  auto c = context();
  c.x_TD = router->named_parameters()["weight"].detach().narrow(0, 5, 1).expand({24, kWidth}) * 300;
  const auto r = router->route(c);
  EXPECT_TRUE((rows_of_token(r) == 1).all().item<bool>());
}

TEST(TopPRouter, RefusesAPThatIsNoProbability) {
  EXPECT_THROW(router_with(-0.1), ConfigError);
  EXPECT_THROW(router_with(1.1), ConfigError);
}

}  // namespace
}  // namespace polyphony::moe
