// SPDX-License-Identifier: Apache-2.0
// The MoE layer: one expert is an MLP, grouped equals looped, modalities stay apart, a routing can be replayed.
#include "moe/moe_layer.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/moe/routers/contract_cases.h"

namespace polyphony::moe {
namespace {

MoEConfig config_of(int64_t num_experts, int64_t experts_per_token) {
  return {.router = {.model_dim = kWidth, .num_experts = num_experts, .experts_per_token = experts_per_token},
          .experts = {.expert_hidden = 8}};
}

at::Tensor mlp(const at::Tensor& x, const at::Tensor& w13, const at::Tensor& w2) {
  const auto h = at::matmul(x, w13.t()).chunk(2, -1);
  return at::matmul(at::silu(h[0]) * h[1], w2.t());
}

RoutingContext context(const std::vector<ExpertGroup>& groups) { return random_context({.groups = groups}); }

TEST(MoELayer, WithOneExpertIsAnMlp) {
  MoELayer layer(config_of(1, 1));
  const auto c = context(one_group(1));
  const auto p = layer.named_parameters();
  EXPECT_TRUE(at::allclose(layer.forward(c).y_TD, mlp(c.x_TD, p["experts.w13"][0], p["experts.w2"][0]), 1e-5, 1e-6));
}

TEST(MoELayer, EqualsALoopOverExpertsPlusTheSharedExpert) {
  auto config = config_of(6, 3);
  config.shared_hidden = 10;
  MoELayer layer(config);
  const auto c = context(one_group(6));
  const auto p = layer.named_parameters();
  const auto [y, routing] = layer.forward(c);
  auto expected = mlp(c.x_TD, p["shared_experts.w13"], p["shared_experts.w2"]);
  const auto weight = table_of(routing).clamp_min(0);
  for (int64_t e = 0; e < 6; ++e)
    expected = expected + weight.select(1, e).unsqueeze(1) * mlp(c.x_TD, p["experts.w13"][e], p["experts.w2"][e]);
  EXPECT_TRUE(at::allclose(y, expected, 1e-5, 1e-5));
}

TEST(MoELayer, NamesItsParametersAsCheckpointsDo) {
  auto config = config_of(4, 2);
  config.shared_hidden = 8;
  config.router.choice_bias = true;
  MoELayer layer(config);
  std::vector<std::string> names = layer.named_parameters().keys();
  EXPECT_EQ(names, (std::vector<std::string>{"gate.weight", "experts.w13", "experts.w2", "shared_experts.w13",
                                             "shared_experts.w2"}));
  EXPECT_EQ(layer.named_buffers().keys(), std::vector<std::string>{"gate.e_score_correction_bias"});
}

// Every router of the registry over the same modality groups: text has experts 0-3, images 4-6, expert 7 is common.
class MoELayerIsolation : public testing::TestWithParam<std::string> {};

TEST_P(MoELayerIsolation, LeavesTextRowsBitwiseUnchangedWhenImageExpertsChange) {
  auto config = config_of(0, 2);
  config.router = router_defaults(GetParam());
  config.router.model_dim = kWidth;
  config.groups = modality_groups();
  MoELayer layer(config);
  layer.eval();  // no chance
  const auto c = context(config.groups);
  const auto before = layer.forward(c).y_TD;
  {
    const at::NoGradGuard no_grad;
    for (const auto* name : {"experts.w13", "experts.w2"}) layer.named_parameters()[name].narrow(0, 4, 3).normal_();
  }
  const auto after = layer.forward(c).y_TD;
  const auto text = c.modality_T == static_cast<uint8_t>(Modality::text);
  EXPECT_TRUE(at::equal(before.index({text}), after.index({text})));
  EXPECT_FALSE(at::equal(before.index({~text}), after.index({~text})));
}

TEST_P(MoELayerIsolation, GivesNoGradientToTheExpertsOfAnAbsentModality) {
  auto config = config_of(0, 2);
  config.router = router_defaults(GetParam());
  config.router.model_dim = kWidth;
  config.groups = modality_groups();
  MoELayer layer(config);
  auto c = random_context({.modalities = {Modality::text}, .groups = config.groups});
  layer.forward(c).y_TD.square().sum().backward();
  for (const auto* name : {"experts.w13", "experts.w2"}) {
    const auto grad = layer.named_parameters()[name].grad();
    EXPECT_TRUE(grad.isfinite().all().item<bool>());
    EXPECT_TRUE((grad.narrow(0, 4, 3) == 0).all().item<bool>()) << name;
    EXPECT_GT(grad.abs().sum().item<float>(), 0) << name;
  }
}

std::vector<std::string> router_names() {
  std::vector<std::string> names;
  for (const auto& row : router_infos()) names.push_back(row.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Registry, MoELayerIsolation, testing::ValuesIn(router_names()),
                         [](const auto& param) { return param.param; });

TEST(MoELayer, ReplaysAGivenRouting) {
  MoELayer layer(config_of(6, 2)), other(config_of(6, 2));
  const auto c = context(one_group(6));
  const auto first = layer.forward(c);
  EXPECT_TRUE(at::equal(layer.forward(c.x_TD, first.routing).y_TD, first.y_TD));
  const auto replayed = other.forward(c.x_TD, first.routing);
  EXPECT_TRUE(at::equal(replayed.routing.expert_N, first.routing.expert_N));
}

TEST(MoELayer, AddsJitterWhileTrainingOnly) {
  auto config = config_of(6, 2);
  config.router.jitter = 0.5;
  MoELayer layer(config);
  const auto c = context(one_group(6));
  EXPECT_FALSE(at::equal(layer.forward(c).routing.logits_TE, layer.forward(c).routing.logits_TE));
  layer.eval();
  EXPECT_TRUE(at::equal(layer.forward(c).routing.logits_TE, layer.forward(c).routing.logits_TE));
}

TEST(MoELayer, ComputesInBf16OnRequestAndReturnsTheTypeOfItsInput) {
  auto config = config_of(4, 2);
  config.shared_hidden = 8;
  MoELayer plain(config);
  config.experts.compute_dtype = "bfloat16";
  MoELayer half(config);
  {
    const at::NoGradGuard no_grad;
    for (const auto& parameter : half.named_parameters()) parameter->copy_(plain.named_parameters()[parameter.key()]);
  }
  const auto c = context(one_group(4));
  const auto y = half.forward(c).y_TD, expected = plain.forward(c).y_TD;
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_FALSE(at::equal(y, expected));
  EXPECT_TRUE(at::allclose(y, expected, 4e-2, 4e-2));
  y.sum().backward();
  EXPECT_EQ(half.named_parameters()["experts.w2"].grad().scalar_type(), at::kFloat);
}

MoEConfig gated_config(const std::string& gate) {
  auto config = config_of(4, 1);
  config.shared_hidden = 8;
  config.shared_gate = gate;
  return config;
}

TEST(MoELayer, WeighsTheSharedExpertByASigmoidOfItsGate) {
  MoELayer layer(gated_config("sigmoid"));
  const auto c = context(one_group(4));
  const auto p = layer.named_parameters();
  const auto y = layer.forward(c).y_TD;
  auto plain_config = gated_config("none");
  plain_config.shared_hidden = 0;
  MoELayer plain(plain_config);
  {
    const at::NoGradGuard no_grad;
    for (const auto& parameter : plain.named_parameters()) parameter->copy_(p[parameter.key()]);
  }
  const auto gate = at::matmul(c.x_TD, p["shared_expert_gate.weight"].t()).sigmoid();
  const auto shared = mlp(c.x_TD, p["shared_experts.w13"], p["shared_experts.w2"]);
  EXPECT_TRUE(at::allclose(y, plain.forward(c).y_TD + gate * shared, 1e-5, 1e-5));
}

TEST(MoELayer, AsAResidualLayerMixesBothPartsByASoftmax) {
  MoELayer layer(gated_config("residual"));
  const auto c = context(one_group(4));
  const auto p = layer.named_parameters();
  const auto dense = mlp(c.x_TD, p["shared_experts.w13"], p["shared_experts.w2"]);
  const auto set_bias = [&](float moe, float shared) {
    const at::NoGradGuard no_grad;
    p["shared_expert_gate.weight"].zero_();
    p["shared_expert_gate.bias"].copy_(at::tensor({moe, shared}));
    return layer.forward(c).y_TD;
  };
  const auto both = set_bias(0, 0), only_dense = set_bias(-200, 0), only_moe = set_bias(0, -200);
  EXPECT_TRUE(at::allclose(only_dense, dense, 1e-5, 1e-5)) << "c = (0, 1) is the MLP";
  EXPECT_TRUE(at::allclose(both, (only_moe + only_dense) / 2, 1e-5, 1e-5));
  EXPECT_FALSE(at::allclose(only_moe, dense, 1e-2, 1e-2));
}

TEST(MoELayer, AsAResidualLayerWithExpertsThatGiveNothingIsTheDenseMlp) {
  auto config = gated_config("residual");
  config.experts = {.name = "zero_computation", .expert_hidden = 8, .num_zero = 4, .num_copy = 0, .num_constant = 0};
  MoELayer layer(config);
  const auto c = context(one_group(4));
  const auto p = layer.named_parameters();
  const auto share = (at::matmul(c.x_TD, p["shared_expert_gate.weight"].t()) + p["shared_expert_gate.bias"]).softmax(1);
  const auto dense = mlp(c.x_TD, p["shared_experts.w13"], p["shared_experts.w2"]);
  EXPECT_TRUE(at::allclose(layer.forward(c).y_TD, share.narrow(1, 1, 1) * dense, 1e-5, 1e-5));
}

TEST(MoELayer, ComposesEveryRouterWithEveryExpertKind) {
  for (const auto& router : router_names())
    for (const auto& bank : expert_bank_infos()) {
      auto config = config_of(5, 2);
      config.router.name = router;
      if (router_takes(router, "state_dim")) config.router.state_dim = 12;
      config.experts = {.name = bank.name};
      if (expert_bank_takes(bank.name, "expert_hidden")) config.experts.expert_hidden = 8;
      config.shared_hidden = 4;
      MoELayer layer(config);
      const auto y = layer.forward(context(one_group(5))).y_TD;
      EXPECT_TRUE(y.isfinite().all().item<bool>()) << router << " with " << bank.name;
      y.square().sum().backward();
      for (const auto& parameter : layer.parameters())
        if (parameter.grad().defined()) {
          EXPECT_TRUE(parameter.grad().isfinite().all().item<bool>());
        }
    }
}

TEST(MoELayer, RefusesConfigsThatContradictThemselves) {
  const auto refuses = [](auto change) {
    auto config = config_of(7, 2);
    change(config);
    EXPECT_THROW(MoELayer{config}, ConfigError);
  };
  refuses([](auto& c) { c.groups = modality_groups(); });
  refuses([](auto& c) { c.router.num_experts = 0; });
  refuses([](auto& c) { c.router.name = "nonesuch"; });
  refuses([](auto& c) { c.experts.name = "nonesuch"; });
  refuses([](auto& c) { c.experts.expert_hidden = 0; });
  refuses([](auto& c) { c.experts.activation = "relu"; });
  refuses([](auto& c) { c.experts.compute_dtype = "float16"; });
  refuses([](auto& c) { c.shared_hidden = -1; });
  refuses([](auto& c) {
    c.groups = {{.name = "text", .modalities = {Modality::text}, .num_experts = 7}};
    c.modalities = {Modality::text, Modality::audio};
  });
}

}  // namespace
}  // namespace polyphony::moe
