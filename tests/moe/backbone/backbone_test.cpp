// SPDX-License-Identifier: Apache-2.0
// The trunk over all four modalities at once: what may see what, conditioning, replay, shapes, gradients.
#include "moe/backbone/backbone.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/rng.h"

namespace polyphony::moe {
namespace {

constexpr int64_t kDim = 16;

BackboneConfig config(const std::string& router = "topk") {
  BackboneConfig c{.dim = kDim, .depth = 3, .num_heads = 2, .num_kv_heads = 1, .rope_axis_dims = {4, 2, 2}};
  c.moe.router = {.name = router, .model_dim = kDim, .experts_per_token = 1};
  if (moe::router_takes(router, "state_dim")) c.moe.router.state_dim = 6;
  c.moe.experts = {.expert_hidden = 8};
  c.moe.shared_hidden = 8;
  c.moe.groups = {{"words", {Modality::text}, 2},
                  {"seen", {Modality::image}, 2},
                  {"heard", {Modality::audio}, 2},
                  {"drawn", {Modality::latent}, 2}};
  return c;
}

// Two samples: three words, an image of 2x2, two audio frames and a latent of 2x1; then two words alone.
TokenSequence sequence(uint64_t seed) {
  const std::vector<std::pair<Modality, int64_t>> tokens = {
      {Modality::text, 0},   {Modality::text, 1},  {Modality::text, 2},  {Modality::image, 3}, {Modality::image, 3},
      {Modality::image, 3},  {Modality::image, 3}, {Modality::audio, 4}, {Modality::audio, 4}, {Modality::latent, 5},
      {Modality::latent, 5}, {Modality::text, 0},  {Modality::text, 1}};
  std::vector<uint8_t> modality;
  std::vector<int64_t> span;
  for (const auto& [m, s] : tokens) {
    modality.push_back(static_cast<uint8_t>(m));
    span.push_back(s);
  }
  const auto T = static_cast<int64_t>(tokens.size());
  auto generator = make_generator(seed);
  return {
      .tokens_TD = at::randn({T, kDim}, generator),
      .modality_T = at::tensor(modality, at::kByte),
      .position_TA = at::stack({at::tensor(span, at::kLong).to(at::kFloat), at::arange(T).remainder(2).to(at::kFloat),
                                at::arange(T).remainder(3).to(at::kFloat)},
                               1),
      .span_T = at::tensor(span, at::kLong),
      .token_id_T = at::arange(T),
      .sample_offsets = {0, 11, T}};
}

Conditioning conditioning(const TokenSequence& s) {
  auto generator = make_generator(9);
  return {.condition_CD = at::randn({1, kDim}, generator),
          .condition_T = (s.modality_T == static_cast<uint8_t>(Modality::latent)).to(at::kLong)};
}

// adaLN-Zero starts as the identity: random weights make the condition matter.
void wake(Backbone& backbone) {
  const c10::NoGradGuard no_grad;
  auto generator = make_generator(5);
  for (const auto& p : backbone.named_parameters())
    if (p.key().find("ada_ln") != std::string::npos) p.value().copy_(at::randn(p.value().sizes(), generator) * 0.3);
}

at::Tensor changed_rows(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().amax(1) > 1e-6; }

std::vector<int64_t> rows_of(const at::Tensor& mask_T) {
  const auto rows = mask_T.nonzero().flatten();
  return {rows.const_data_ptr<int64_t>(), rows.const_data_ptr<int64_t>() + rows.numel()};
}

class BackboneOfRouter : public testing::TestWithParam<std::string> {};

TEST_P(BackboneOfRouter, ProcessesAllModalitiesTogetherWithFiniteGradients) {
  Backbone backbone(config(GetParam()));
  wake(backbone);
  auto s = sequence(1);
  s.tokens_TD.requires_grad_(true);
  const auto out = backbone.forward(s, conditioning(s));
  EXPECT_EQ(out.hidden_TD.sizes(), s.tokens_TD.sizes());
  EXPECT_EQ(out.routings.size(), 3u);
  out.hidden_TD.square().sum().backward();
  EXPECT_TRUE(s.tokens_TD.grad().isfinite().all().item<bool>());
  EXPECT_EQ(rows_of(s.tokens_TD.grad().abs().amax(1) == 0), std::vector<int64_t>{});
}

INSTANTIATE_TEST_SUITE_P(All, BackboneOfRouter, testing::Values("topk", "hash", "recurrent", "uniform"),
                         [](const auto& test) { return test.param; });

TEST(Backbone, TokensSeeTheirOwnAndEarlierSpansOfTheirSampleOnly) {
  Backbone backbone(config());
  wake(backbone);
  const auto s = sequence(1);
  const auto before = backbone.forward(s, conditioning(s)).hidden_TD;
  const auto changed_by = [&](int64_t row) {
    auto other = s;
    other.tokens_TD = s.tokens_TD.clone();
    other.tokens_TD[row] += 1;
    return rows_of(changed_rows(before, backbone.forward(other, conditioning(other)).hidden_TD));
  };
  EXPECT_EQ(changed_by(2), (std::vector<int64_t>{2, 3, 4, 5, 6, 7, 8, 9, 10}));  // a word: not the words before it
  EXPECT_EQ(changed_by(5), (std::vector<int64_t>{3, 4, 5, 6, 7, 8, 9, 10}));     // an image token: the whole image
  EXPECT_EQ(changed_by(10), (std::vector<int64_t>{9, 10}));                      // a latent: the latents alone
  EXPECT_EQ(changed_by(11), (std::vector<int64_t>{11, 12}));                     // the other sample stays apart
}

TEST(Backbone, TimestepReachesLatentsAlone) {
  Backbone backbone(config());
  wake(backbone);
  const auto s = sequence(1);
  auto c = conditioning(s);
  const auto before = backbone.forward(s, c).hidden_TD;
  c.condition_CD = c.condition_CD + 1;
  EXPECT_EQ(rows_of(changed_rows(before, backbone.forward(s, c).hidden_TD)), (std::vector<int64_t>{9, 10}));
}

TEST(Backbone, FreshLatentBlocksAreTheIdentity) {
  Backbone backbone(config());
  const auto s = sequence(1);
  const auto out = backbone.forward(s, conditioning(s)).hidden_TD;
  EXPECT_EQ(rows_of(changed_rows(out, s.tokens_TD)), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12}));
}

TEST(Backbone, ReplayedRoutingGivesTheSameResult) {
  Backbone backbone(config());
  wake(backbone);
  const auto s = sequence(1);
  const auto first = backbone.forward(s, conditioning(s));
  {
    const c10::NoGradGuard no_grad;
    for (const auto& p : backbone.named_parameters())
      if (p.key().find("gate") != std::string::npos) p.value().neg_();
  }
  const auto own = backbone.forward(s, conditioning(s));
  const auto replayed = backbone.forward(s, conditioning(s), {.replay = &first.routings});
  EXPECT_TRUE(at::equal(replayed.hidden_TD, first.hidden_TD));
  EXPECT_FALSE(at::equal(own.hidden_TD, first.hidden_TD));
}

TEST(Backbone, WrongSizesAreRefused) {
  auto heads = config();
  heads.num_heads = 3;
  EXPECT_THROW(Backbone{heads}, ConfigError);
  auto rope = config();
  rope.rope_axis_dims = {4, 4, 4};
  EXPECT_THROW(Backbone{rope}, ConfigError);
  Backbone backbone(config());
  auto s = sequence(1);
  s.tokens_TD = at::zeros({s.num_tokens(), kDim + 1});
  EXPECT_THROW(backbone.forward(s), ShapeError);
  const std::vector<Routing> one(1);
  EXPECT_THROW(backbone.forward(sequence(1), {}, {.replay = &one}), ShapeError);
}

}  // namespace
}  // namespace polyphony::moe
