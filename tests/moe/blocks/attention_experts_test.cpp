// SPDX-License-Identifier: Apache-2.0
// Attention experts against the dense attention that they are cut from, and what each choice of keys promises.
#include "moe/blocks/attention_experts.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/nn/attention.h"
#include "moe/blocks/parallel_block.h"
#include "moe/transforms/equivalent_split.h"
#include "tests/support/gradcheck.h"

namespace polyphony::moe {
namespace {

constexpr int64_t kDim = 16, kHeads = 4;

// Two samples of 5 and 3 tokens; the first is causal, the second one span.
struct Fixture {
  TokenSequence sequence;
  nn::AttentionLayout layout;
  nn::RopeTable rope;
};
Fixture fixture(int64_t head_dim) {
  at::manual_seed(1);
  Fixture f;
  f.sequence = {.tokens_TD = at::randn({8, kDim}),
                .modality_T = at::zeros({8}, at::kByte),
                .position_TA = at::arange(8).to(at::kFloat).unsqueeze(1).repeat({1, kPositionAxes}),
                .span_T = at::tensor({0, 1, 2, 3, 4, 0, 0, 0}, at::kLong),
                .token_id_T = at::zeros({8}, at::kLong),
                .sample_offsets = {0, 5, 8}};
  f.layout = nn::make_attention_layout(f.sequence);
  f.rope = nn::make_rope_table(f.sequence.position_TA, {.axis_dims = {head_dim, 0, 0}});
  return f;
}

// Every token to every one of E experts with weight 1.
Routing to_all(int64_t T, int64_t E) {
  Routing r{.num_tokens = T, .num_experts = E};
  r.token_N = at::arange(T).repeat_interleave(E);
  r.expert_N = at::arange(E).repeat({T});
  r.weight_N = at::ones({T * E});
  return r;
}

Routing rows(std::vector<int64_t> token, std::vector<int64_t> expert, int64_t E) {
  Routing r{.num_tokens = 8, .num_experts = E};
  r.token_N = at::tensor(token, at::kLong);
  r.expert_N = at::tensor(expert, at::kLong);
  r.weight_N = at::ones({r.token_N.size(0)});
  return r;
}

void load(AttentionExperts& experts, const AttentionSlices& slices) {
  const at::NoGradGuard no_grad;
  auto p = experts.named_parameters();
  p["q"].copy_(slices.q_EPD);
  p["k"].copy_(slices.k_EPD);
  p["v"].copy_(slices.v_EPD);
  p["out"].copy_(slices.out_EDP);
}

TEST(AttentionExperts, EqualTheDenseAttentionTheyAreCutFromWhenAllAreTaken) {
  const auto f = fixture(kDim / kHeads);
  nn::Attention dense({.dim = kDim, .num_heads = kHeads});
  const auto p = dense.named_parameters();
  for (const int64_t n : {1, 2, 4})
    for (const bool selected : {false, true}) {
      AttentionExperts experts({.dim = kDim,
                                .num_experts = n,
                                .num_heads = kHeads / n,
                                .head_dim = kDim / kHeads,
                                .selected_keys = selected});
      load(experts, split_attention({.qkv_QD = p["qkv.weight"], .out_DP = p["out.weight"]}, kHeads, n));
      const auto y = experts.forward(f.sequence.tokens_TD, f.layout, f.rope, to_all(8, n));
      EXPECT_TRUE(at::allclose(y, dense.forward(f.sequence.tokens_TD, f.layout, f.rope), 1e-5, 1e-5))
          << n << " experts, selected keys " << selected;
    }
}

TEST(AttentionExperts, ReproduceOneOfTheirModelsForAOneHotGate) {
  const auto f = fixture(8);
  AttentionExperts experts({.dim = kDim, .num_experts = 3, .num_heads = 2});
  AttentionExperts alone({.dim = kDim, .num_experts = 1, .num_heads = 2});
  {
    const at::NoGradGuard no_grad;
    for (const auto& parameter : alone.named_parameters())
      parameter->copy_(experts.named_parameters()[parameter.key()].narrow(0, 1, 1));
  }
  auto one_hot = to_all(8, 3);
  one_hot.weight_N = (one_hot.expert_N == 1).to(at::kFloat);
  const auto& x = f.sequence.tokens_TD;
  const auto y = experts.forward(x, f.layout, f.rope, one_hot);
  EXPECT_TRUE(at::allclose(y, alone.forward(x, f.layout, f.rope, to_all(8, 1)), 1e-5, 1e-6));
}

TEST(AttentionExperts, WithEqualExpertsAreTheDenseModelForAnyGateThatSumsToOne) {
  const auto f = fixture(8);
  for (const bool shared : {false, true}) {
    AttentionExperts experts({.dim = kDim, .num_experts = 3, .num_heads = 2, .shared_keys = shared});
    EXPECT_EQ(experts.named_parameters()["k"].size(0), shared ? 1 : 3);
    {
      const at::NoGradGuard no_grad;
      for (auto& parameter : experts.parameters())
        for (int64_t e = 1; e < parameter.size(0); ++e) parameter[e].copy_(parameter[0]);
    }
    auto soft = to_all(8, 3), first = to_all(8, 3);
    soft.weight_N = at::rand({8, 3}).softmax(1).flatten();
    first.weight_N = (first.expert_N == 0).to(at::kFloat);
    const auto& x = f.sequence.tokens_TD;
    EXPECT_TRUE(at::allclose(experts.forward(x, f.layout, f.rope, soft), experts.forward(x, f.layout, f.rope, first),
                             1e-5, 1e-6));
  }
}

TEST(AttentionExperts, GiveNothingToTokensThatNoneTakesAndKeepTheOthersAsTheyAre) {
  const auto f = fixture(8);
  const auto& x = f.sequence.tokens_TD;
  AttentionExperts experts({.dim = kDim, .num_experts = 2, .num_heads = 2});
  const auto all = experts.forward(x, f.layout, f.rope, rows({0, 1, 2, 3, 4, 5, 6, 7}, {0, 0, 0, 0, 0, 0, 0, 0}, 2));
  const auto some = experts.forward(x, f.layout, f.rope, rows({6, 3}, {0, 0}, 2));
  EXPECT_TRUE(
      at::allclose(some.index_select(0, at::tensor({3, 6})), all.index_select(0, at::tensor({3, 6})), 1e-5, 1e-6))
      << "with all keys a query does not depend on which other tokens are routed";
  EXPECT_EQ(some.index_select(0, at::tensor({0, 1, 2, 4, 5, 7})).abs().max().item<float>(), 0);
  const auto none = experts.forward(x, f.layout, f.rope, rows({}, {}, 2));
  EXPECT_EQ(none.abs().max().item<float>(), 0);
}

TEST(AttentionExperts, WithSelectedKeysSeeTheirOwnTokensAlone) {
  const auto f = fixture(8);
  AttentionExperts experts({.dim = kDim, .num_experts = 2, .num_heads = 2, .selected_keys = true});
  const auto routing = rows({0, 2, 4, 5, 1, 3, 6, 7}, {0, 0, 0, 0, 1, 1, 1, 1}, 2);
  auto x = f.sequence.tokens_TD.clone();
  const auto before = experts.forward(x, f.layout, f.rope, routing);
  x[2].normal_();
  const auto after = experts.forward(x, f.layout, f.rope, routing);
  const auto changed = (before - after).abs().amax(1) > 1e-6;
  EXPECT_TRUE(at::equal(changed, at::tensor({0, 0, 1, 0, 1, 0, 0, 0}, at::kLong).to(at::kBool)))
      << "token 2 and, after it in its sample and expert, token 4";
}

TEST(AttentionExperts, StayCausalWithinASampleThatIs) {
  const auto f = fixture(8);
  for (const bool selected : {false, true}) {
    AttentionExperts experts({.dim = kDim, .num_experts = 2, .num_heads = 2, .selected_keys = selected});
    auto x = f.sequence.tokens_TD.clone();
    const auto before = experts.forward(x, f.layout, f.rope, to_all(8, 2));
    x[3].normal_();
    const auto after = experts.forward(x, f.layout, f.rope, to_all(8, 2));
    const auto changed = (before - after).abs().amax(1) > 1e-6;
    EXPECT_TRUE(at::equal(changed, at::tensor({0, 0, 0, 1, 1, 0, 0, 0}, at::kLong).to(at::kBool)));
  }
}

TEST(AttentionExperts, HaveTheGradientsOfFiniteDifferences) {
  const auto f = fixture(4);
  for (const bool selected : {false, true})
    for (const bool shared : {false, true}) {
      AttentionExperts experts({.dim = kDim,
                                .num_experts = 2,
                                .head_dim = 4,
                                .shared_keys = shared,
                                .selected_keys = selected,
                                .rotary = false});
      experts.to(at::kDouble);
      auto routing = rows({0, 1, 1, 2, 4, 5, 6, 7}, {0, 0, 1, 1, 0, 1, 1, 0}, 2);
      routing.weight_N = (at::rand({8}, at::kDouble) + 0.1).requires_grad_();
      const auto x = f.sequence.tokens_TD.to(at::kDouble).requires_grad_();
      polyphony::testing::gradcheck(
          [&](const auto&) { return experts.forward(x, f.layout, f.rope, routing); },
          {x, routing.weight_N, experts.named_parameters()["q"], experts.named_parameters()["k"]}, {.tolerance = 1e-5});
    }
}

TEST(AttentionExperts, RefuseWhatDoesNotFit) {
  EXPECT_THROW(AttentionExperts({.dim = 16, .num_experts = 2, .num_heads = 3}), ConfigError);
  EXPECT_THROW(AttentionExperts({.dim = 16, .num_experts = 2, .head_dim = 3}), ConfigError);
  const auto f = fixture(8);
  AttentionExperts experts({.dim = kDim, .num_experts = 2, .num_heads = 2});
  EXPECT_THROW(experts.forward(f.sequence.tokens_TD, f.layout, f.rope, to_all(8, 3)), ShapeError);
  EXPECT_THROW(experts.forward(at::randn({7, kDim}), f.layout, f.rope, to_all(7, 2)), ShapeError);
}

ParallelBlock parallel_block(const std::string& attention_router, int64_t k) {
  return ParallelBlock({.attention = {.num_experts = 3, .num_heads = 2},
                        .attention_router = {.name = attention_router, .experts_per_token = k},
                        .moe = {.router = {.model_dim = kDim, .num_experts = 4, .experts_per_token = 1},
                                .experts = {.expert_hidden = 8}}});
}

TEST(ParallelBlock, AddsAttentionAndMlpsOfTheSameInput) {
  const auto f = fixture(8);
  auto block = parallel_block("topk", 3);
  const auto out = block.forward(f.sequence.tokens_TD, f.layout, f.rope, {.modality_T = f.sequence.modality_T});
  EXPECT_EQ(out.attention_routing.token_N.size(0), 8 * 3) << "soft routing to all";
  EXPECT_EQ(out.routing.token_N.size(0), 8);
  {
    const at::NoGradGuard no_grad;
    block.named_parameters()["attention.out"].zero_();
    block.named_parameters()["moe.experts.w2"].zero_();
  }
  const auto residual = block.forward(f.sequence.tokens_TD, f.layout, f.rope, {.modality_T = f.sequence.modality_T});
  EXPECT_TRUE(at::equal(residual.x_TD, f.sequence.tokens_TD));
}

TEST(ParallelBlock, TakesAnyRouterForItsAttention) {
  const auto f = fixture(8);
  for (const auto* router : {"topk", "top_p", "expert_choice", "uniform"}) {
    auto block = parallel_block(router, 2);
    const auto out = block.forward(f.sequence.tokens_TD, f.layout, f.rope, {.modality_T = f.sequence.modality_T});
    EXPECT_TRUE(out.x_TD.isfinite().all().item<bool>()) << router;
    out.x_TD.square().sum().backward();
    EXPECT_GT(block.named_parameters()["attention.q"].grad().abs().sum().item<float>(), 0) << router;
  }
}

}  // namespace
}  // namespace polyphony::moe
