// SPDX-License-Identifier: Apache-2.0
// Routers whose decision spans a sample, all layers, or the next layer; by attention, label, chance, and soft slots.
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "moe/moe_layer.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

RouterConfig config_of_layer(const std::string& name, int64_t num_experts, int64_t layer, int64_t num_layers = 3) {
  auto config = config_of(name, num_experts);
  config.layer = layer;
  config.num_layers = num_layers;
  return config;
}

RoutingContext two_samples(int64_t num_experts) {
  auto c = random_context({.groups = one_group(num_experts)});
  c.sample_T = (at::arange(24) >= 10).to(at::kLong);
  return c;
}

TEST(OneDecisionRouter, RepeatsTheFirstLayersRowsWithoutAGateOfItsOwn) {
  const auto first = make_router(config_of_layer("one_decision", 6, 0)),
             last = make_router(config_of_layer("one_decision", 6, 2));
  EXPECT_TRUE(last->parameters().empty());
  auto c = two_samples(6);
  const auto decided = first->route(c);
  c.state_TP = decided.state_TP;
  c.x_TD = at::randn_like(c.x_TD);
  EXPECT_TRUE(at::equal(table_of(last->route(c)), table_of(decided)));
  c.state_TP = at::Tensor();
  EXPECT_THROW(last->route(c), ShapeError);
}

TEST(PreGatedRouter, DecidesForTheNextLayerAndForItselfInTheFirst) {
  const auto first = make_router(config_of_layer("pre_gated", 6, 0)),
             last = make_router(config_of_layer("pre_gated", 6, 2));
  EXPECT_EQ(first->parameters().size(), 2U);
  EXPECT_EQ(make_router(config_of_layer("pre_gated", 6, 1))->parameters().size(), 1U);
  EXPECT_TRUE(last->parameters().empty());
  auto c = two_samples(6);
  const auto r = first->route(c);
  const auto p = first->named_parameters();
  EXPECT_TRUE(at::allclose(r.logits_TE, at::matmul(c.x_TD, p["weight"].t()), 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(r.state_TP, at::matmul(c.x_TD, p["next_weight"].t()), 1e-5, 1e-6));
  c.state_TP = r.state_TP;
  EXPECT_TRUE(at::equal(last->route(c).logits_TE, r.state_TP));
}

TEST(PreGatedRouter, WithoutLookingAheadIsTopK) {
  auto config = config_of_layer("pre_gated", 6, 1);
  config.look_ahead = 0;
  const auto router = make_router(config);
  const auto topk = make_router({.name = "topk", .model_dim = kWidth, .num_experts = 6});
  const at::NoGradGuard no_grad;
  topk->named_parameters()["weight"].copy_(router->named_parameters()["weight"]);
  const auto c = two_samples(6);
  EXPECT_TRUE(at::equal(table_of(router->route(c)), table_of(topk->route(c))));
  EXPECT_FALSE(router->route(c).state_TP.defined());
}

TEST(PathwayRouter, SendsASampleToOneExpertInAllLayersAndPassesTheGradientThrough) {
  const auto router = make_router(config_of_layer("pathway", 6, 0)),
             next = make_router(config_of_layer("pathway", 6, 1));
  auto c = two_samples(6);
  const auto r = router->route(c);
  const auto weight = router->named_parameters()["weight"];
  for (const auto& [begin, size] : {std::pair{0, 10}, {10, 14}}) {
    const auto logits = at::mv(weight, c.x_TD.narrow(0, begin, size).mean(0));
    EXPECT_TRUE((r.expert_N.narrow(0, begin, size) == logits.argmax()).all().item<bool>());
  }
  EXPECT_TRUE(at::equal(r.weight_N, at::ones({24})));
  r.weight_N.narrow(0, 0, 10).sum().backward();
  const auto expert = r.expert_N[0].item<int64_t>();
  auto other = weight.detach().clone().requires_grad_();
  (10 * at::mv(other, c.x_TD.narrow(0, 0, 10).mean(0)).softmax(0)[expert]).backward();
  EXPECT_TRUE(at::allclose(weight.grad(), other.grad(), 1e-4, 1e-6));
  c.state_TP = r.state_TP.detach();
  c.x_TD = at::randn_like(c.x_TD);
  EXPECT_TRUE(at::equal(next->route(c).expert_N, r.expert_N));
}

TEST(SampleSelectRouter, SendsAllTokensOfASampleToTheSameExperts) {
  const auto router = make_router(config_of("sample_select", 6));
  const auto c = two_samples(6);
  const auto table = table_of(router->route(c));
  EXPECT_TRUE(at::allclose(table.narrow(0, 0, 10), table.narrow(0, 0, 1).expand({10, 6})));
  EXPECT_TRUE(at::allclose(table.narrow(0, 10, 14), table.narrow(0, 10, 1).expand({14, 6})));
}

TEST(SampleSelectRouter, FlattensSamplesOfOneSizeAndRefusesOthers) {
  auto config = config_of("sample_select", 6);
  config.sample_tokens = 12;
  const auto router = make_router(config);
  auto c = two_samples(6);
  EXPECT_THROW(router->route(c), ShapeError);
  c.sample_T = at::arange(24).remainder(2);
  const auto odd = c.x_TD.reshape({12, 2, kWidth}).select(1, 1).reshape({1, -1});
  const auto expected = at::matmul(odd, router->named_parameters()["weight"].t());
  EXPECT_TRUE(at::allclose(router->route(c).logits_TE.narrow(0, 1, 1), expected, 1e-4, 1e-5));
}

TEST(AttentionWeightedRouter, SumsGateVectorsOfTheSampleByAttention) {
  auto config = config_of("attention_weighted", 5);
  config.gate_dim = 4;
  for (const std::string history : {"past", "sample"}) {
    config.history = history;
    const auto router = make_router(config);
    auto c = two_samples(5);
    c.attention_T = at::rand({24});
    const auto p = router->named_parameters();
    const auto b = at::matmul(c.x_TD, p["item"].t()), q = at::matmul(c.x_TD, p["target"].t());
    const int64_t t = 13, end = history == "past" ? 14 : 24;
    auto expected = at::zeros({5});
    for (int64_t j = 10; j < end; ++j) {
      const auto w = at::dot(b[j], at::mv(p["match"], q[t])).sigmoid() * c.attention_T[j];
      expected = expected + w * at::mv(p["weight"], at::cat({b[j], b[j] * q[t], q[t]}));
    }
    EXPECT_TRUE(at::allclose(router->route(c).logits_TE[t], expected, 1e-4, 1e-5)) << history;
  }
}

TEST(AttentionWeightedRouter, FallsBackToItsDefaultGateWhereNothingIsSeen) {
  const auto router = make_router(config_of("attention_weighted", 5));
  auto c = two_samples(5);
  c.attention_T = at::zeros({24});
  const at::NoGradGuard no_grad;
  router->named_parameters()["default_gate"].copy_(at::arange(5));
  EXPECT_TRUE(at::allclose(router->route(c).logits_TE, at::arange(5).to(at::kFloat).expand({24, 5})));
}

TEST(LabelAwareRouter, KeepsUnconditionalTokensApartAndWeighsTheOthersByTheCosine) {
  auto config = config_of("label_aware", 6);
  config.null_label = 9;
  const auto router = make_router(config);
  auto c = two_samples(6);
  c.label_T = at::where(c.sample_T == 0, at::full({24}, 9, at::kLong), at::full({24}, 2, at::kLong));
  const auto r = router->route(c);
  EXPECT_TRUE((r.expert_N.narrow(0, 0, 10) == 5).all().item<bool>());
  EXPECT_TRUE(at::equal(r.weight_N.narrow(0, 0, 10), at::ones({10})));
  const auto prototypes = router->named_parameters()["weight"].narrow(0, 0, 5);
  const auto cosine = at::cosine_similarity(c.x_TD.narrow(0, 10, 14).unsqueeze(1), prototypes.unsqueeze(0), 2);
  const auto [best, which] = cosine.max(1);
  EXPECT_TRUE(at::equal(r.expert_N.narrow(0, 10, 14), which));
  EXPECT_TRUE(at::allclose(r.weight_N.narrow(0, 10, 14), best, 1e-4, 1e-5));
  c.label_T = at::Tensor();
  EXPECT_THROW(router->route(c), ShapeError);
}

TEST(HashRouter, RefusesIdsBeyondItsTableAndGoesByLabelOnRequest) {
  auto config = config_of("hash", 6);
  config.hash_vocab_size = 500;
  auto c = two_samples(6);
  c.token_id_T.fill_(499);
  EXPECT_NO_THROW(make_router(config)->route(c));
  c.token_id_T[3] = 500;
  EXPECT_THROW(make_router(config)->route(c), ShapeError);
  config = config_of("hash", 6);
  config.hash_of = "label";
  c.label_T.fill_(3);
  c.modality_T.zero_();
  const auto table = table_of(make_router(config)->route(c));
  EXPECT_TRUE(at::equal(table, table.narrow(0, 0, 1).expand({24, 6}))) << "one domain, one choice";
}

TEST(StochasticRouter, DrawsOnceABatchInTrainingAndEvenlyOverAll) {
  const auto router = make_router(config_of("stochastic", 4));
  const auto c = in_training(two_samples(4));
  auto count = at::zeros({4}, at::kLong);
  const int draws = 2000;
  for (int i = 0; i < draws; ++i) {
    const auto r = router->route(c);
    EXPECT_TRUE((r.expert_N == r.expert_N[0]).all().item<bool>());
    count[r.expert_N[0].item<int64_t>()] += 1;
  }
  const double expected = draws / 4.0;
  // Chi-square of three degrees of freedom: 16.3 is passed once in a thousand.
  EXPECT_LT((count.to(at::kDouble) - expected).square().sum().item<double>() / expected, 16.3);
}

TEST(StochasticRouter, GivesASampleOneExpertOrAllOfThemEqually) {
  auto config = config_of("stochastic", 4);
  config.draw = "sample";
  const auto r = make_router(config)->route(two_samples(4));
  EXPECT_TRUE((r.expert_N.narrow(0, 0, 10) == r.expert_N[0]).all().item<bool>());
  EXPECT_TRUE((r.expert_N.narrow(0, 10, 14) == r.expert_N[10]).all().item<bool>());
  config.draw = "average";
  EXPECT_TRUE(at::allclose(table_of(make_router(config)->route(two_samples(4))), at::full({24, 4}, 0.25)));
}

TEST(SoftRouter, ComputesMixturesOfASamplesTokens) {
  MoEConfig config{.router = config_of("soft", 3), .experts = {.expert_hidden = 6}};
  config.router.slots_per_expert = 2;
  MoELayer layer(config);
  const auto c = two_samples(3);
  const auto p = layer.named_parameters();
  const auto direction = [](const at::Tensor& rows) { return rows / rows.norm(2, 1, true); };
  const auto logits = at::matmul(direction(c.x_TD), direction(p["gate.weight"]).t());
  std::vector<at::Tensor> parts;
  for (const auto& [begin, size] : {std::pair{0, 10}, {10, 14}}) {
    const auto own = logits.narrow(0, begin, size);
    const auto slots = at::matmul(own.softmax(0).t(), c.x_TD.narrow(0, begin, size));
    std::vector<at::Tensor> results;
    for (int64_t s = 0; s < 6; ++s) {
      const auto h = at::mv(p["experts.w13"][s / 2], slots[s]).chunk(2);
      results.push_back(at::mv(p["experts.w2"][s / 2], at::silu(h[0]) * h[1]));
    }
    parts.push_back(at::matmul(own.softmax(1), at::stack(results)));
  }
  EXPECT_TRUE(at::allclose(layer.forward(c).y_TD, at::cat(parts), 1e-4, 1e-5));
}

TEST(SoftRouter, KeepsModalitiesApart) {
  MoEConfig config{.router = config_of("soft", 0), .experts = {.expert_hidden = 6}};
  config.groups = {{.name = "text", .modalities = {Modality::text}, .num_experts = 2},
                   {.name = "image", .modalities = {Modality::image}, .num_experts = 2}};
  MoELayer layer(config);
  auto c = random_context({.groups = config.groups});
  const auto before = layer.forward(c).y_TD;
  const auto is_text = c.modality_T == static_cast<uint8_t>(Modality::text);
  c.x_TD = at::where(is_text.unsqueeze(1), c.x_TD, at::randn_like(c.x_TD));
  const auto after = layer.forward(c).y_TD;
  EXPECT_TRUE(at::allclose(before.index({is_text}), after.index({is_text}), 1e-5, 1e-6));
  EXPECT_FALSE(at::allclose(before.index({~is_text}), after.index({~is_text})));
}

// Fine-grained experts with shared ones (DeepSeekMoE, arXiv:2401.06066, section 3) are composition: topk without
// normalising, small experts, shared_hidden for as many of them as are always on.
TEST(FineGrainedExperts, ComposeFromTopKAndASharedExpert) {
  RouterConfig router{.model_dim = kWidth, .num_experts = 7, .experts_per_token = 3, .normalise = "none"};
  MoELayer layer({.router = router, .experts = {.expert_hidden = 4}, .shared_hidden = 2 * 4});
  const auto c = random_context({.groups = one_group(7)});
  const auto out = layer.forward(c);
  const auto p = layer.named_parameters();
  const auto mlp = [&](const at::Tensor& w13, const at::Tensor& w2) {
    const auto h = at::matmul(c.x_TD, w13.t()).chunk(2, 1);
    return at::matmul(at::silu(h[0]) * h[1], w2.t());
  };
  // Two shared experts of width 4 each: halves of the shared weights.
  const auto w13 = p["shared_experts.w13"].reshape({2, 2, 4, kWidth}),
             w2 = p["shared_experts.w2"].reshape({kWidth, 2, 4});
  auto expected = at::zeros_like(c.x_TD);
  for (int64_t s = 0; s < 2; ++s) expected = expected + mlp(w13.select(1, s).reshape({8, kWidth}), w2.select(1, s));
  const auto g = at::matmul(c.x_TD, p["gate.weight"].t()).softmax(1);
  const auto chosen = at::zeros_like(g).scatter(1, std::get<1>(g.topk(3, 1)), 1.0);
  for (int64_t e = 0; e < 7; ++e)
    expected = expected + (g * chosen).narrow(1, e, 1) * mlp(p["experts.w13"][e], p["experts.w2"][e]);
  EXPECT_TRUE(at::allclose(out.y_TD, expected, 1e-4, 1e-5));
  EXPECT_EQ(out.routing.token_N.size(0), 24 * 3);
}

}  // namespace
}  // namespace polyphony::moe
