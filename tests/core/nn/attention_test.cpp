// SPDX-License-Identifier: Apache-2.0
#include "core/nn/attention.h"

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"

namespace polyphony::nn {
namespace {

constexpr int64_t kDim = 32;
const RopeOptions kRope{.axis_dims = {4, 2, 2}};

using Samples = std::vector<std::vector<int64_t>>;

// Samples given by the lengths of their spans: {1, 1, 3} is two causal tokens and a span of three.
TokenSequence make_sequence(const Samples& samples) {
  TokenSequence sequence;
  std::vector<int64_t> span_of_token;
  for (const auto& spans : samples) {
    for (size_t span = 0; span < spans.size(); ++span)
      for (int64_t i = 0; i < spans[span]; ++i) span_of_token.push_back(static_cast<int64_t>(span));
    sequence.sample_offsets.push_back(static_cast<int64_t>(span_of_token.size()));
  }
  const int64_t T = sequence.num_tokens();
  sequence.tokens_TD = at::randn({T, kDim});
  sequence.modality_T = at::zeros({T}, at::kByte);
  sequence.position_TA = at::rand({T, kPositionAxes}) * 20;
  sequence.span_T = at::tensor(span_of_token, at::kLong);
  sequence.token_id_T = at::zeros({T}, at::kLong);
  return sequence;
}

at::Tensor forward(Attention& attention, const TokenSequence& s) {
  return attention.forward(s.tokens_TD, make_attention_layout(s), make_rope_table(s.position_TA, kRope));
}

at::Tensor plain_rms(const at::Tensor& x) { return x / (x.square().mean(-1, true) + 1e-6).sqrt(); }

// One query after another, in plain loops over samples and heads.
at::Tensor attention_by_loops(Attention& attention, const AttentionOptions& o, const TokenSequence& s) {
  const auto weights = attention.named_parameters();
  const int64_t H = o.num_heads;
  const int64_t G = o.num_kv_heads;
  const int64_t C = o.dim / H;
  const RopeTable rope = make_rope_table(s.position_TA, kRope);
  const at::Tensor all = at::mm(s.tokens_TD, weights["qkv.weight"].t()).view({-1, H + 2 * G, C});
  const at::Tensor q_raw = all.narrow(1, 0, H);
  const at::Tensor k_raw = all.narrow(1, H, G);
  const at::Tensor q = apply_rope(o.qk_norm ? plain_rms(q_raw) : q_raw, rope);
  const at::Tensor k = apply_rope(o.qk_norm ? plain_rms(k_raw) : k_raw, rope);
  const at::Tensor v = all.narrow(1, H + G, G);
  at::Tensor y = at::zeros({s.num_tokens(), H, C});
  for (int64_t b = 0; b < s.num_samples(); ++b)
    for (int64_t t = s.sample_offsets[b]; t < s.sample_offsets[b + 1]; ++t)
      for (int64_t h = 0; h < H; ++h) {
        const int64_t first = s.sample_offsets[b];
        const int64_t count = s.sample_offsets[b + 1] - first;
        const int64_t g = h / (H / G);
        const at::Tensor score =
            at::mv(k.select(1, g).narrow(0, first, count), q[t][h]) / std::sqrt(static_cast<double>(C));
        const at::Tensor hidden = s.span_T.narrow(0, first, count) > s.span_T[t];
        y[t][h] = at::mv(v.select(1, g).narrow(0, first, count).t(), score.masked_fill(hidden, -INFINITY).softmax(0));
      }
  return at::mm(y.view({-1, H * C}), weights["out.weight"].t());
}

class AttentionOfSamples : public ::testing::TestWithParam<Samples> {};

TEST_P(AttentionOfSamples, EqualsPlainLoopsOverQueries) {
  at::manual_seed(1);
  const at::NoGradGuard no_grad;
  for (const int64_t kv_heads : {4, 2, 1})
    for (const bool qk_norm : {false, true}) {
      const AttentionOptions options{.dim = kDim, .num_heads = 4, .num_kv_heads = kv_heads, .qk_norm = qk_norm};
      Attention attention(options);
      const TokenSequence s = make_sequence(GetParam());
      EXPECT_TRUE(at::allclose(forward(attention, s), attention_by_loops(attention, options, s), 1e-4, 1e-5));
    }
}
INSTANTIATE_TEST_SUITE_P(Shapes, AttentionOfSamples,
                         ::testing::Values(Samples{{1, 1, 1, 1}, {1, 1, 1, 1}},      // causal, no padding
                                           Samples{{6}, {6}},                        // all see all
                                           Samples{{1, 1, 5, 1}, {7}, {1, 1}, {1}},  // mixed and padded
                                           Samples{{3, 2}, {}, {1, 4}}));            // a sample of no tokens

TEST(Attention, AcceptsNoTokens) {
  Attention attention({.dim = kDim, .num_heads = 4});
  const at::Tensor y = forward(attention, make_sequence({}));
  EXPECT_EQ(y.size(0), 0);
  EXPECT_EQ(y.size(1), kDim);
}

TEST(Attention, SamplesDoNotSeeOneAnother) {
  at::manual_seed(2);
  Attention attention({.dim = kDim, .num_heads = 4});
  const TokenSequence s = make_sequence({{1, 4}, {1, 1, 1}});
  TokenSequence changed = s;
  changed.tokens_TD = s.tokens_TD.clone();
  changed.tokens_TD.narrow(0, 0, 5).add_(1);
  EXPECT_TRUE(at::equal(forward(attention, s).narrow(0, 5, 3), forward(attention, changed).narrow(0, 5, 3)));
}

TEST(Attention, GradientsOfPaddedSamplesAreFinite) {
  at::manual_seed(3);
  Attention attention({.dim = kDim, .num_heads = 4, .num_kv_heads = 2, .qk_norm = true});
  TokenSequence s = make_sequence({{1, 1, 9}, {1}, {2}});
  s.tokens_TD.requires_grad_();
  forward(attention, s).sum().backward();
  EXPECT_TRUE(at::isfinite(s.tokens_TD.grad()).all().item<bool>());
  for (const auto& p : attention.parameters()) EXPECT_TRUE(at::isfinite(p.grad()).all().item<bool>());
}

TEST(Attention, DecodingStepByStepEqualsTheWholeForward) {
  at::manual_seed(4);
  const at::NoGradGuard no_grad;
  Attention attention({.dim = kDim, .num_heads = 4, .num_kv_heads = 2, .qk_norm = true});
  const int64_t steps = 40;  // more than the cache's first capacity
  const Samples prompts = {{1, 6}, {1, 1}};
  const std::vector<int64_t> prompt_lengths = {7, 2};
  Samples whole = prompts;
  for (auto& spans : whole) spans.insert(spans.end(), steps, 1);
  const TokenSequence full = make_sequence(whole);
  const at::Tensor expected = forward(attention, full);

  std::vector<at::Tensor> prompt_rows;
  std::vector<int64_t> next;
  for (size_t b = 0; b < prompts.size(); ++b) {
    next.push_back(full.sample_offsets[b] + prompt_lengths[b]);
    prompt_rows.push_back(at::arange(full.sample_offsets[b], next[b]));
  }
  const auto rope_of = [&](const at::Tensor& rows) {
    return make_rope_table(full.position_TA.index_select(0, rows), kRope);
  };
  const at::Tensor rows = at::cat(prompt_rows);
  KvCache cache;
  attention.forward(full.tokens_TD.index_select(0, rows), make_attention_layout(make_sequence(prompts)), rope_of(rows),
                    &cache);
  for (int64_t step = 0; step < steps; ++step) {
    const at::Tensor row_B = at::tensor(next, at::kLong) + step;
    const at::Tensor y = attention.forward_step(full.tokens_TD.index_select(0, row_B), rope_of(row_B), cache);
    ASSERT_TRUE(at::allclose(y, expected.index_select(0, row_B), 1e-4, 1e-5)) << step;
  }
  EXPECT_EQ(cache.lengths, (std::vector<int64_t>{47, 42}));
}

TEST(Attention, ReceivedAttentionSumsToTheNumberOfTokens) {
  at::manual_seed(5);
  Attention attention({.dim = kDim, .num_heads = 4});
  for (const Samples& samples : {Samples{{1, 1, 5, 1}, {7}, {1, 1}}, Samples{{1, 1, 1}}}) {
    const TokenSequence s = make_sequence(samples);
    const at::Tensor received =
        attention.received_attention(s.tokens_TD, make_attention_layout(s), make_rope_table(s.position_TA, kRope));
    EXPECT_EQ(received.sizes(), at::IntArrayRef({s.num_tokens()}));
    EXPECT_NEAR(received.sum().item<double>(), static_cast<double>(s.num_tokens()), 1e-3);
  }
}

TEST(Attention, ComputesInBf16ForBf16ParametersAndRoundsProductsUnderAutocast) {
  at::manual_seed(6);
  const at::NoGradGuard no_grad;
  Attention attention({.dim = kDim, .num_heads = 4, .num_kv_heads = 2, .qk_norm = true});
  TokenSequence s = make_sequence({{1, 1, 5, 1}, {7}});
  const at::Tensor expected = forward(attention, s);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor autocast = forward(attention, s);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  attention.to(at::kBFloat16);
  s.tokens_TD = s.tokens_TD.to(at::kBFloat16);
  const at::Tensor bf16 = forward(attention, s);
  EXPECT_EQ(autocast.scalar_type(), at::kFloat);
  EXPECT_EQ(bf16.scalar_type(), at::kBFloat16);
  for (const at::Tensor& y : {autocast, bf16}) {
    EXPECT_TRUE(at::allclose(y.to(at::kFloat), expected, 4e-2, 4e-2));
  }
}

TEST(Attention, WithoutRotationNormsHeadsByMeanAndDeviation) {
  at::manual_seed(7);
  const at::NoGradGuard no_grad;
  const int64_t H = 2, C = 3;  // an odd width, which no rope could turn
  Attention attention({.dim = 6, .num_heads = H, .rotary = false, .qk_norm = true, .qk_norm_kind = QkNorm::layer});
  const auto weights = attention.named_parameters();
  for (const char* name : {"q_norm.weight", "q_norm.bias", "k_norm.weight", "k_norm.bias"}) weights[name].normal_();
  TokenSequence s = make_sequence({{4}});
  s.tokens_TD = at::randn({4, 6});
  const auto norm = [&](const at::Tensor& x, const std::string& name) {
    const at::Tensor centred = x - x.mean(-1, true);
    const at::Tensor scaled = centred / (centred.square().mean(-1, true) + 1e-6).sqrt();
    return scaled * weights[name + ".weight"] + weights[name + ".bias"];
  };
  const at::Tensor all_3HTC = at::mm(s.tokens_TD, weights["qkv.weight"].t()).view({4, 3, H, C}).permute({1, 2, 0, 3});
  const at::Tensor q_HTC = norm(all_3HTC[0], "q_norm"), k_HTC = norm(all_3HTC[1], "k_norm");
  const at::Tensor probability_HTT = (at::matmul(q_HTC, k_HTC.transpose(1, 2)) / std::sqrt(3.0)).softmax(-1);
  const at::Tensor y_TD = at::matmul(probability_HTT, all_3HTC[2]).transpose(0, 1).reshape({4, 6});
  const at::Tensor expected = at::mm(y_TD, weights["out.weight"].t());
  EXPECT_TRUE(at::allclose(attention.forward(s.tokens_TD, make_attention_layout(s), {}), expected, 1e-5, 1e-5));
}

TEST(Attention, RefusesHeadsThatDoNotFit) {
  EXPECT_THROW(Attention({.dim = 30, .num_heads = 4}), ConfigError);
  EXPECT_THROW(Attention({.dim = 32, .num_heads = 4, .num_kv_heads = 3}), ConfigError);
  EXPECT_THROW(Attention({.dim = 12, .num_heads = 4}), ConfigError);
}

TEST(KvCache, SelectsSamplesForABeam) {
  KvCache cache;
  fill_cache(cache, at::arange(6, at::kFloat).view({3, 1, 2, 1}), at::zeros({3, 1, 2, 1}), {2, 1, 2});
  const KvCache beam = select_samples(cache, {2, 2, 0});
  EXPECT_EQ(beam.lengths, (std::vector<int64_t>{2, 2, 2}));
  EXPECT_EQ(beam.k_BGSC[1][0][1][0].item<float>(), 5);
}

}  // namespace
}  // namespace polyphony::nn
