// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/nn/ada_ln.h"
#include "core/nn/label_embedder.h"
#include "core/nn/mlp.h"
#include "core/nn/sin_cos_positions.h"
#include "core/nn/timestep_embedding.h"
#include "core/rng.h"

namespace polyphony::nn {
namespace {

TEST(TimestepEmbedding, HoldsTheSinusoidsOfItsConvention) {
  const at::Tensor t = at::tensor({0.f, 3.f});
  const at::Tensor dit = timestep_embedding(t, {.dim = 8});
  EXPECT_NEAR(dit[1][1].item<double>(), std::cos(3.0 * std::pow(10000.0, -1.0 / 4)), 1e-6);
  EXPECT_NEAR(dit[1][5].item<double>(), std::sin(3.0 * std::pow(10000.0, -1.0 / 4)), 1e-6);
  const at::Tensor ddpm = timestep_embedding(t, {.dim = 8, .cos_first = false, .period_shift = 1});
  EXPECT_NEAR(ddpm[1][3].item<double>(), std::sin(3.0 * std::pow(10000.0, -1.0)), 1e-7);
  EXPECT_NEAR(ddpm[0][4].item<double>(), 1.0, 0);
}

TEST(SinCosPositions, TellTheColumnInTheFirstHalfAndTheRowInTheSecond) {
  const at::Tensor table = sin_cos_positions(2, 3, 8);
  ASSERT_EQ(table.sizes(), at::IntArrayRef({6, 8}));
  const int64_t token = 1 * 3 + 2;  // row 1, column 2
  const double slow = std::pow(10000.0, -0.5);
  const std::vector<double> expected = {std::sin(2.0), std::sin(2 * slow), std::cos(2.0), std::cos(2 * slow),
                                        std::sin(1.0), std::sin(slow),     std::cos(1.0), std::cos(slow)};
  for (int64_t i = 0; i < 8; ++i) EXPECT_NEAR(table[token][i].item<double>(), expected[static_cast<size_t>(i)], 1e-7);
  EXPECT_THROW(sin_cos_positions(2, 2, 6), ShapeError);
}

TEST(TimestepEmbedding, AnOddWidthEndsInZero) {
  const at::Tensor y = timestep_embedding(at::tensor({1.f}), {.dim = 5});
  EXPECT_EQ(y.size(1), 5);
  EXPECT_EQ(y[0][4].item<float>(), 0);
}

TEST(TimestepEmbedder, AnswersInTheDtypeOfItsWeights) {
  TimestepEmbedder embedder(16, {.dim = 8, .scale = 1000});
  EXPECT_EQ(embedder.forward(at::rand({3})).sizes(), at::IntArrayRef({3, 16}));
  embedder.to(at::kBFloat16);
  EXPECT_EQ(embedder.forward(at::rand({3})).scalar_type(), at::kBFloat16);
}

TEST(LabelEmbedder, DropsLabelsOnlyWhileTraining) {
  LabelEmbedder embedder({.num_classes = 4, .dim = 8, .dropout = 0.5});
  const at::Tensor label = at::full({200}, 2, at::kLong);
  embedder.eval();
  EXPECT_TRUE(at::equal(embedder.forward(label), embedder.forward(label)[0].expand({200, 8})));
  const at::Tensor null = embedder.forward(at::full({1}, 4, at::kLong));
  embedder.train();
  const at::Tensor is_null = (embedder.forward(label, make_generator(1)) == null).all(1);
  EXPECT_NEAR(is_null.to(at::kFloat).mean().item<double>(), 0.5, 0.15);
  EXPECT_TRUE(at::equal(embedder.forward(label, make_generator(7)), embedder.forward(label, make_generator(7))));
}

TEST(AdaLnZero, StartsAsNoModulation) {
  at::manual_seed(1);
  AdaLnZero ada(8);
  const BlockModulation m = ada.forward(at::randn({3, 8}));
  const at::Tensor x = at::randn({3, 8});
  EXPECT_TRUE(at::equal(modulate(x, m.attention_shift, m.attention_scale), x));
  EXPECT_EQ(m.mlp_gate.abs().max().item<float>(), 0);
  EXPECT_TRUE(at::allclose(modulate(x, at::full({3, 8}, 2.), at::full({3, 8}, 0.5)), x * 1.5 + 2, 1e-5, 1e-6));
}

TEST(Mlp, EqualsItsFormulaForAnyNumberOfAxes) {
  at::manual_seed(2);
  Mlp mlp({.dim = 6, .hidden_dim = 10});
  const at::Tensor x = at::randn({2, 3, 6});
  const auto h = at::linear(x, mlp.w13()).chunk(2, -1);
  EXPECT_TRUE(at::allclose(mlp.forward(x), at::linear(at::silu(h[0]) * h[1], mlp.w2()), 1e-5, 1e-6));
}

}  // namespace
}  // namespace polyphony::nn
