// SPDX-License-Identifier: Apache-2.0
// The contract of every router in the registry, each under several settings; a new router gets these tests for free.
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/ops/moe_experts/moe_experts.h"
#include "moe/dispatch.h"
#include "tests/moe/routers/contract_cases.h"

// gtest assertions are if-else statements; a loop or condition around one line of them is clear to a reader.
#pragma GCC diagnostic ignored "-Wdangling-else"

namespace polyphony::moe {
namespace {

class RouterContract : public testing::TestWithParam<RouterCase> {
 protected:
  std::shared_ptr<Router> make() const {
    at::manual_seed(7);
    return make_router(GetParam().config);
  }
  RoutingContext context(ContextOptions options = {}) const {
    options.groups = GetParam().groups;
    return random_context(options);
  }
  // The same as a training step sees it.
  RoutingContext training_context(ContextOptions options = {}) const {
    auto c = context(options);
    c.training = true;
    c.generator = at::make_generator<at::CPUGeneratorImpl>(options.seed);
    return c;
  }
  bool has_choice() const { return GetParam().config.num_experts > 1; }
};

// Rows of the first n tokens, and what soft routing mixes of them.
std::vector<at::Tensor> of_first_tokens(const Routing& r, int64_t n) {
  std::vector<at::Tensor> parts = {table_of(r).narrow(0, 0, n)};
  if (r.slots.mix_ST.defined()) parts.push_back(r.slots.mix_ST.narrow(1, 0, n).detach());
  return parts;
}

bool all_close(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b, double tolerance) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!at::allclose(a[i], b[i], 0, tolerance)) return false;
  return true;
}

TEST_P(RouterContract, GivesAWellFormedRoutingWithFiniteWeightsThatAreNotNegative) {
  const auto router = make();
  for (const auto& c : {context(), training_context()}) {
    const auto routing = router->route(c);
    EXPECT_NO_THROW(check_routing(routing));
    EXPECT_EQ(routing.num_tokens, 24);
    EXPECT_EQ(routing.num_experts, GetParam().config.num_experts);
    EXPECT_EQ(routing.num_null, GetParam().config.num_null);
    if (router->traits().weights_not_negative) EXPECT_TRUE((routing.weight_N >= 0).all().item<bool>());
  }
}

TEST_P(RouterContract, NeverSendsATokenToOneExpertTwice) {
  for (const auto& c : {context(), training_context()}) {
    const auto r = make()->route(c);
    const auto cell_N = r.token_N * (r.num_experts + r.num_null) + r.expert_N;
    EXPECT_EQ(std::get<0>(at::_unique2(cell_N)).size(0), cell_N.size(0));
  }
}

TEST_P(RouterContract, NeverPicksAnExpertForbiddenToTheModality) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const auto c = seed % 2 == 0 ? training_context({.seed = seed}) : context({.seed = seed});
    const auto r = make()->route(c);
    const auto routed_N = (r.expert_N < r.num_experts).nonzero().flatten();
    const auto allowed_N =
        allowed_of_token(c).index({r.token_N.index_select(0, routed_N), r.expert_N.index_select(0, routed_N)});
    EXPECT_TRUE(allowed_N.all().item<bool>());
  }
}

TEST_P(RouterContract, LosesNoRowBetweenRoutingAndDispatch) {
  for (const auto& c : {context(), training_context()}) {
    const auto r = make()->route(c);
    const int64_t null_rows = (r.expert_N >= r.num_experts).sum().item<int64_t>();
    EXPECT_EQ(plan_dispatch(r).num_rows() + null_rows, r.token_N.size(0));
  }
}

TEST_P(RouterContract, GivesEachTokenTheRowsAndTheSumThatItsTraitsDeclare) {
  const auto c = context();
  const auto router = make();
  const auto r = router->route(c);
  const auto available_T = allowed_of_token(c).sum(1) + r.num_null;
  const auto rows_T = rows_of_token(r);
  EXPECT_TRUE((rows_T <= available_T).all().item<bool>());
  if (router->traits().fixed_rows_per_token) {
    EXPECT_TRUE((rows_T >= 1).all().item<bool>());
    if (GetParam().config.num_groups == 1)
      EXPECT_TRUE(at::equal(rows_T, available_T.clamp_max(GetParam().config.experts_per_token)));
  }
  if (router->traits().weights_sum_to_one) {
    const auto sum_T = at::zeros({r.num_tokens}).index_add_(0, r.token_N, r.weight_N.detach());
    EXPECT_TRUE(at::allclose(sum_T, at::ones_like(sum_T), 0, 1e-5));
  }
}

TEST_P(RouterContract, FollowsAPermutationOfTheTokensExactlyIfItSaysSo) {
  const auto c = context();
  const auto router = make();
  const auto order_T = at::randperm(24, at::kLong);
  const auto before = table_of(router->route(c)).index_select(0, order_T);
  const auto after = table_of(router->route(permuted(c, order_T)));
  const bool follows = at::allclose(before, after, 0, 1e-5);
  if (router->traits().permutation_equivariant || has_choice())
    EXPECT_EQ(follows, router->traits().permutation_equivariant);
}

TEST_P(RouterContract, LetsLaterTokensChangeATokensRowsOnlyIfItIsNotCausal) {
  const auto router = make();
  bool changed = false;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const auto c = context({.seed = seed});
    auto other = c;
    other.x_TD = c.x_TD.clone();
    other.x_TD.narrow(0, 12, 12).normal_();
    changed |= !all_close(of_first_tokens(router->route(c), 12), of_first_tokens(router->route(other), 12), 1e-5);
  }
  if (router->traits().causal || has_choice()) EXPECT_EQ(changed, !router->traits().causal);
}

TEST_P(RouterContract, RoutesTokenByTokenAsAllAtOnceWhereItIsCausal) {
  const auto router = make();
  if (!router->traits().causal) GTEST_SKIP() << "not causal";
  const auto c = context();
  const auto all = table_of(router->route(c));
  for (int64_t t = 0; t < 24; ++t) {
    const auto prefix = router->route(narrowed(c, 0, t + 1));
    EXPECT_TRUE(at::allclose(table_of(prefix)[t], all[t], 0, 1e-5)) << t;
    if (router->traits().looks_back || !router->traits().permutation_equivariant) continue;
    EXPECT_TRUE(at::allclose(table_of(router->route(narrowed(c, t, 1)))[0], all[t], 0, 1e-5)) << t;
  }
}

TEST_P(RouterContract, SendsEveryTokenToTheOnlyExpertThereIs) {
  if (has_choice()) GTEST_SKIP() << "more than one expert";
  if (make()->traits().skips_tokens) GTEST_SKIP() << "may leave tokens out";
  const auto r = make()->route(context());
  EXPECT_TRUE(at::equal(std::get<0>(r.token_N.sort()), at::arange(24)));
  EXPECT_TRUE((r.expert_N == 0).all().item<bool>());
}

TEST_P(RouterContract, DispatchesRaggedRowsToTheSameResultAsADenseMaskedMixture) {
  const auto c = context();
  const auto r = make()->route(c);
  const int64_t E = r.num_experts, F = 8;
  const auto w13 = at::randn({E, 2 * F, kWidth}) / 4, w2 = at::randn({E, kWidth, F}) / 4;
  const auto y = ops::moe_experts(c.x_TD, plan_dispatch(r), r.weight_N.detach(), w13, w2);
  auto expected = at::zeros_like(c.x_TD);
  auto weight_TE = at::zeros({24, E + r.num_null});
  weight_TE.index_put_({r.token_N, r.expert_N}, r.weight_N.detach());
  for (int64_t e = 0; e < E; ++e) {
    const auto h = at::matmul(c.x_TD, w13[e].t()).chunk(2, -1);
    expected += weight_TE.select(1, e).unsqueeze(1) * at::matmul(at::silu(h[0]) * h[1], w2[e].t());
  }
  EXPECT_TRUE(at::allclose(y, expected, 1e-5, 1e-5));
}

TEST_P(RouterContract, RepeatsItselfForTheSameGenerator) {
  const auto router = make();
  auto c = context();
  c.training = true;
  c.generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto first = router->route(c);
  c.generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto second = router->route(c);
  EXPECT_TRUE(at::equal(first.token_N, second.token_N));
  EXPECT_TRUE(at::equal(first.expert_N, second.expert_N));
  EXPECT_TRUE(at::equal(first.weight_N, second.weight_N));
}

TEST_P(RouterContract, LetsTheGradientOfTheWeightsReachItsParametersIfItLearns) {
  const auto router = make();
  if (!router->traits().learned) {
    EXPECT_TRUE(router->parameters().empty() || GetParam().label == "patch_select_ungated");
    return;
  }
  EXPECT_TRUE(router->named_parameters().contains("weight"));
  if (!has_choice()) return;
  const auto r = router->route(training_context());
  auto sum = (r.weight_N * at::randn_like(r.weight_N)).sum();
  if (r.state_TP.defined()) sum = sum + (r.state_TP * at::randn_like(r.state_TP)).sum();
  if (r.shared_weight_T.defined()) sum = sum + (r.shared_weight_T * at::randn_like(r.shared_weight_T)).sum();
  sum.backward();
  for (const auto& parameter : router->named_parameters()) {
    // The first multiplies the first layer's state, which is 0; the second cancels out of weights over true experts and
    // learns from the balance loss; a predictor learns from the rows alone.
    if (parameter.key() == "cell.weight_hh" || parameter.key() == "null_weight") continue;
    if (parameter.key().starts_with("predictor.")) {
      EXPECT_FALSE(parameter->grad().defined()) << parameter.key();
      continue;
    }
    ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
    EXPECT_TRUE(parameter->grad().isfinite().all().item<bool>()) << parameter.key();
    EXPECT_GT(parameter->grad().abs().sum().item<float>(), 0) << parameter.key();
  }
}

// A number that depends on all that a routing weighs.
at::Tensor sum_of_weights(const Routing& r, const at::Tensor& factor_TE) {
  auto sum = (r.weight_N * factor_TE.index({r.token_N, r.expert_N})).sum();
  if (r.shared_weight_T.defined()) sum = sum + (r.shared_weight_T * factor_TE.select(1, 0)).sum();
  if (r.slots.mix_ST.defined()) sum = sum + r.slots.mix_ST.square().sum();
  return sum;
}

TEST_P(RouterContract, HasTheGradientThatFiniteDifferencesInDoubleShow) {
  const auto router = make();
  if (!router->traits().learned || !router->traits().exact_gradient) GTEST_SKIP() << "nothing to compare";
  for (auto& parameter : router->parameters()) parameter.set_data(parameter.to(at::kDouble));
  auto c = context();
  c.x_TD = c.x_TD.to(at::kDouble).requires_grad_();
  const auto factor_TE = at::randn({24, GetParam().config.num_experts + GetParam().config.num_null}, at::kDouble);
  sum_of_weights(router->route(c), factor_TE).backward();
  auto inputs = router->parameters();
  inputs.push_back(c.x_TD);
  const at::NoGradGuard no_grad;
  for (auto& input : inputs) {
    const auto direction = at::randn_like(input);
    const double step = 1e-6;
    const auto at_offset = [&](double offset) {
      input.add_(direction, offset);
      const double value = sum_of_weights(router->route(c), factor_TE).item<double>();
      input.sub_(direction, offset);
      return value;
    };
    const double expected = (at_offset(step) - at_offset(-step)) / (2 * step);
    const double slope = input.grad().defined() ? (input.grad() * direction).sum().item<double>() : 0.0;
    EXPECT_NEAR(slope, expected, 1e-5 * (1 + std::abs(expected)));
  }
}

TEST_P(RouterContract, StandsWhereItsTrainingStoppedOnceItsStateIsRestored) {
  const auto router = make();
  auto c = training_context();
  for (const int64_t step : {3, 4, 5000}) {
    c.step = step;
    router->route(c);
  }
  at::manual_seed(99);
  const auto restored = make_router(GetParam().config);
  const at::NoGradGuard no_grad;
  for (const auto& item : router->named_parameters()) restored->named_parameters()[item.key()].copy_(item.value());
  for (const auto& item : router->named_buffers()) restored->named_buffers()[item.key()].copy_(item.value());
  EXPECT_TRUE(at::equal(table_of(router->route(context())), table_of(restored->route(context()))));
}

TEST_P(RouterContract, NamesLayerAndStepWhenItsLogitsAreNotFinite) {
  const auto router = make();
  if (!router->traits().learned) GTEST_SKIP() << "no logits";
  auto c = context();
  c.x_TD = c.x_TD.clone();
  c.x_TD[3][2] = std::numeric_limits<float>::quiet_NaN();
  c.step = 120;
  try {
    router->route(c);
    FAIL() << "expected NonFiniteError";
  } catch (const NonFiniteError& error) {
    EXPECT_STREQ(error.what(), "[router] logits of layer 0 at step 120 are not finite");
  }
}

TEST_P(RouterContract, RoutesNoTokensOneTokenAndTokensOfOneModality) {
  if (GetParam().config.sample_tokens > 0) GTEST_SKIP() << "samples of one size only";
  const auto router = make();
  const int64_t least = router->traits().skips_tokens ? 0 : 1;
  EXPECT_EQ(router->route(context({.tokens = 0})).token_N.size(0), 0);
  EXPECT_EQ(router->route(training_context({.tokens = 0})).token_N.size(0), 0);
  for (const auto& c : {context({.tokens = 1}), training_context({.tokens = 1})}) {
    const auto one = router->route(c);
    EXPECT_NO_THROW(check_routing(one));
    EXPECT_GE(one.token_N.size(0), least);
  }
  for (const auto modality : {Modality::text, Modality::image})
    for (const auto& c : {context({.modalities = {modality}}), training_context({.modalities = {modality}})}) {
      const auto r = router->route(c);
      EXPECT_NO_THROW(check_routing(r));
      EXPECT_GE(r.token_N.size(0), least);
    }
}

TEST_P(RouterContract, TakesARankOverrideOfOneCallAndRefusesAnImpossibleOne) {
  const auto router = make();
  auto c = context();
  c.experts_per_token = 1;
  const auto one = router->route(c);
  if (router->traits().fixed_rows_per_token) EXPECT_TRUE((rows_of_token(one) == 1).all().item<bool>());
  c.experts_per_token = GetParam().config.num_experts;
  EXPECT_GE(router->route(c).token_N.size(0), one.token_N.size(0));
  c.experts_per_token = 0;
  EXPECT_THROW(router->route(c), ShapeError);
  c.experts_per_token = 99;
  EXPECT_THROW(router->route(c), ShapeError);
}

TEST_P(RouterContract, CarriesStateBetweenLayersExactlyIfItSaysSo) {
  const auto first = make();
  auto config = GetParam().config;
  config.layer = 1;
  const auto second = make_router(config);
  if (first->shared_part()) second->share(first->shared_part());
  auto c = context();
  const auto state_TP = first->route(c).state_TP;
  ASSERT_EQ(state_TP.defined(), first->traits().carries_state);
  if (!first->traits().carries_state) return;
  EXPECT_EQ(state_TP.size(0), 24);
  c.layer = 1;
  c.state_TP = state_TP;
  const auto with = second->route(c);
  EXPECT_EQ(with.state_TP.defined(), second->traits().carries_state);
  c.state_TP = at::randn_like(state_TP);
  if (has_choice()) EXPECT_FALSE(at::allclose(with.logits_TE, second->route(c).logits_TE));
  c.state_TP = state_TP.narrow(0, 0, 3);
  EXPECT_THROW(second->route(c), ShapeError);
}

TEST_P(RouterContract, RefusesTokensThatDoNotFit) {
  const auto router = make();
  auto c = context();
  c.modality_T = c.modality_T.to(at::kLong);
  EXPECT_THROW(router->route(c), ShapeError);
  c = context();
  c.modality_T = at::full_like(c.modality_T, 200);
  EXPECT_THROW(router->route(c), ShapeError);
  c = context();
  c.allowed_ME = at::zeros_like(c.allowed_ME);
  EXPECT_THROW(router->route(c), ShapeError);
  c = context();
  c.x_TD = at::randn({24, kWidth + 1});
  if (router->traits().learned) EXPECT_THROW(router->route(c), ShapeError);
}

TEST_P(RouterContract, WeighsBf16TokensInF32) {
  auto c = context();
  c.x_TD = c.x_TD.to(at::kBFloat16);
  const auto half = make()->route(c);
  EXPECT_NO_THROW(check_routing(half));
  EXPECT_EQ(half.weight_N.scalar_type(), at::kFloat);
  c.x_TD = c.x_TD.to(at::kFloat);
  EXPECT_TRUE(at::equal(table_of(half), table_of(make()->route(c))));
}

INSTANTIATE_TEST_SUITE_P(Registry, RouterContract, testing::ValuesIn(router_cases()),
                         [](const auto& param) { return param.param.label; });

}  // namespace
}  // namespace polyphony::moe
