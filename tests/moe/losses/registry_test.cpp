// SPDX-License-Identifier: Apache-2.0
// The contract of every loss in the registry, and what a recipe may ask of which router.
#include "moe/losses/registry.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "moe/losses/consistency.h"
#include "moe/losses/contrastive.h"
#include "moe/moe_layer.h"
#include "tests/moe/losses/loss_cases.h"
#include "tests/moe/routers/contract_cases.h"
#include "tests/support/gradcheck.h"

namespace polyphony::moe {
namespace {

std::vector<LossInfo> losses_of_routings() {
  std::vector<LossInfo> infos;
  for (const auto& info : loss_infos())
    if (info.of_routing) infos.push_back(info);
  return infos;
}

LossInput input_for(int64_t T, int64_t E) {
  return {.modality_T = at::zeros({T}, at::kByte),
          .sample_T = at::arange(T).floor_divide(2),
          .cost_E = at::cat({at::ones({E - 1}), at::zeros({1})})};
}

// Five tokens, two of three experts each and one null expert, with every table that a loss may read.
Routing full_routing(const at::Tensor& logits_TE) {
  auto r = routing_of_logits(logits_TE, {0, 1, 1, 2, 2, 3, 3, 0, 0, 2}, /*num_null=*/1);
  r.noise_TE = 0.1 * at::cos(at::arange(20, at::kDouble)).view({5, 4});
  r.noise_width_TE = at::full({5, 4}, 0.7, at::kDouble);
  r.predictor_TE = logits_TE;
  r.own_loss = logits_TE.square().sum();
  return r;
}

class LossContract : public ::testing::TestWithParam<LossInfo> {
 protected:
  LossConfig config{.name = GetParam().name};
};

TEST_P(LossContract, HasTheGradientOfFiniteDifferences) {
  at::manual_seed(4);
  const auto logits = at::randn({5, 4}, at::kDouble).requires_grad_();
  polyphony::testing::gradcheck(
      [&](const auto&) { return auxiliary_loss(config, full_routing(logits), input_for(5, 3)); }, {logits});
}

TEST_P(LossContract, IsZeroWithoutTokensAndFiniteForOne) {
  auto none = no_tokens(3);
  EXPECT_EQ(auxiliary_loss(config, none, input_for(0, 3)).item<float>(), 0);
  auto one = routing_of_logits(doubles({0.3, -1, 2, 0.1}, 4), {2, 0}, 1);
  one.noise_TE = at::zeros({1, 4}, at::kDouble);
  one.noise_width_TE = at::ones({1, 4}, at::kDouble);
  one.predictor_TE = one.logits_TE;
  one.own_loss = one.logits_TE.sum();
  EXPECT_TRUE(auxiliary_loss(config, one, input_for(1, 3)).isfinite().item<bool>());
}

TEST_P(LossContract, DoesNotDependOnTheOrderOfTokensAndRows) {
  at::manual_seed(5);
  const auto logits = at::randn({6, 4}, at::kDouble);
  auto r = full_routing(logits.narrow(0, 0, 5));
  auto input = input_for(5, 3);
  const auto before = auxiliary_loss(config, r, input).item<double>();
  const auto order = at::randperm(5, at::kLong), place = order.argsort(), rows = at::randperm(10, at::kLong);
  for (auto* table : {&r.logits_TE, &r.score_TE, &r.noise_TE, &r.noise_width_TE, &r.predictor_TE, &input.sample_T})
    *table = table->index_select(0, order);
  r.token_N = place.index_select(0, r.token_N).index_select(0, rows);
  r.expert_N = r.expert_N.index_select(0, rows);
  EXPECT_NEAR(auxiliary_loss(config, r, input).item<double>(), before, 1e-12);
}

TEST_P(LossContract, ServesEveryRouterThatHasWhatItNeedsAndRefusesTheOthers) {
  for (const auto& test_case : router_cases()) {
    at::manual_seed(1);
    const auto router = make_router(test_case.config);
    auto c = random_context({.groups = test_case.groups});
    c.training = true;
    const auto r = router->route(c);
    LossInput input{.modality_T = c.modality_T,
                    .groups = test_case.groups,
                    .sample_T = c.sample_T,
                    .cost_E = at::ones({r.num_experts})};
    try {
      check_loss_fits(config, r, test_case.config.name);
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("needs a router with"), std::string::npos) << error.what();
      continue;
    }
    const auto loss = auxiliary_loss(config, r, input);
    EXPECT_TRUE(loss.isfinite().item<bool>()) << test_case.label;
    if (!loss.requires_grad()) continue;
    loss.backward();
    for (const auto& parameter : router->parameters())
      if (parameter.grad().defined()) {
        EXPECT_TRUE(parameter.grad().isfinite().all().item<bool>()) << test_case.label;
      }
  }
}

TEST_P(LossContract, SaysWhatItIsAndWhereItComesFrom) {
  EXPECT_FALSE(GetParam().summary.empty());
  EXPECT_FALSE(GetParam().source.empty());
  EXPECT_FALSE(GetParam().needs.empty());
  EXPECT_EQ(GetParam().options.front().key, "weight");
}

INSTANTIATE_TEST_SUITE_P(Registry, LossContract, ::testing::ValuesIn(losses_of_routings()),
                         [](const auto& param) { return param.param.name; });

TEST(OtherLosses, HaveTheGradientsOfFiniteDifferences) {
  at::manual_seed(6);
  const auto a = at::randn({4, 3}, at::kDouble).requires_grad_(), b = at::randn({4, 3}, at::kDouble).requires_grad_();
  polyphony::testing::gradcheck([](const auto& in) { return consistency_loss(in[0], in[1]); }, {a, b});
  polyphony::testing::gradcheck([](const auto& in) { return gate_contrastive_loss(in[0], in[1]); }, {a, b},
                                {.tolerance = 1e-5});
  const auto expert = at::tensor({0, 1, 1, 3}, at::kLong);
  polyphony::testing::gradcheck([&](const auto& in) { return prototype_contrastive_loss(in[0], in[1], expert, 0.5); },
                                {a, b});
}

void expect_refused(const LossConfig& config, const std::string& part) {
  try {
    check_loss(config);
    FAIL() << "expected ConfigError with " << part;
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(LossRegistry, RefusesUnknownNamesForeignKeysAndLossesOfSomethingElse) {
  expect_refused({.name = "nonesuch"}, "expert_balance, sequence_balance");
  expect_refused({.name = "router_z", .num_devices = 2}, "takes no num_devices");
  expect_refused({.name = "switch", .weight = -1}, "weight");
  expect_refused({.name = "consistency"}, "it needs the outputs of two passes");
}

MoEConfig layer_with(const std::string& router, const std::string& loss) {
  return {.router = {.name = router, .model_dim = kWidth, .num_experts = 4},
          .experts = {.expert_hidden = 8},
          .losses = {{.name = loss}}};
}

TEST(LossRegistry, LetsALayerRefuseALossThatItsRouterCannotServe) {
  EXPECT_NO_THROW(MoELayer{layer_with("topk", "switch")});
  try {
    MoELayer layer(layer_with("hash", "switch"));
    FAIL() << "expected ConfigError";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("'switch' needs a router with scores; router 'hash' has none"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(MoELayer{layer_with("topk", "null_balance")}, ConfigError);
  EXPECT_THROW(MoELayer{layer_with("topk", "predictor")}, ConfigError);
  auto devices = layer_with("topk", "device_balance");
  devices.losses.front().num_devices = 3;
  EXPECT_THROW(MoELayer{devices}, ConfigError);
}

TEST(LossRegistry, AddsUpWeightedLossesOfAllLayers) {
  const auto r = routing_of_logits(doubles({0.3, -1, 2, 0.1, 1, 1}, 2), {0, 0, 1});
  const LossConfig balance{.name = "switch", .weight = 0.5}, z{.name = "router_z", .weight = 2};
  const auto sum = auxiliary_loss(std::vector<LossConfig>{balance, z}, {r, r}, {});
  const auto expected = 2 * (0.5 * auxiliary_loss(balance, r, {}) + 2 * auxiliary_loss(z, r, {}));
  EXPECT_NEAR(sum.item<double>(), expected.item<double>(), 1e-12);
  EXPECT_EQ(auxiliary_loss(std::vector<LossConfig>{}, {r}, {}).item<float>(), 0);
}

}  // namespace
}  // namespace polyphony::moe
