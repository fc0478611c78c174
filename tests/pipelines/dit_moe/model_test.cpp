// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/model.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/pipelines/dit_moe/golden.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

DitMoeConfig tiny() {
  return {.input_size = 4, .hidden_size = 16, .depth = 2, .num_heads = 2, .num_classes = 5, .num_experts = 4};
}

DitMoeInput input_of(int64_t B) {
  at::manual_seed(3);
  return {.x_BCHW = at::randn({B, 4, 4, 4}), .t_B = at::rand({B}), .y_B = at::arange(B) % 5};
}

TEST(DitMoe, GivesZeroBeforeAnyTraining) {
  DitMoe model(tiny());
  const auto out = model.forward(input_of(2)).out_BCHW;
  EXPECT_EQ(out.sizes(), at::IntArrayRef({2, 8, 4, 4}));
  EXPECT_EQ(out.abs().max().item<float>(), 0);
}

TEST(DitMoe, IsInitialisedAsPublished) {
  at::manual_seed(1);
  DitMoe model({.input_size = 4, .hidden_size = 64, .depth = 1, .num_heads = 2, .num_classes = 50});
  const auto views = published_views(model.config(), state_of(model));
  const auto bound = [](double in, double out) { return std::sqrt(6 / (in + out)); };
  const auto largest = [&](const char* name) { return views.at(name).abs().max().item<double>(); };
  EXPECT_NEAR(largest("blocks.0.moe.experts.3.up_proj.weight"), bound(64, 256), 1e-3);
  EXPECT_NEAR(largest("blocks.0.attn.qkv.weight"), bound(64, 192), 1e-3);
  EXPECT_NEAR(largest("x_embedder.proj.weight"), bound(16, 64), 2e-3);
  EXPECT_NEAR(largest("blocks.0.moe.gate.weight"), 1 / std::sqrt(64.0), 2e-3);
  EXPECT_NEAR(rms(views.at("y_embedder.embedding_table.weight")), 0.02, 1e-3);
  EXPECT_NEAR(rms(views.at("t_embedder.mlp.2.weight")), 0.02, 1e-3);
  EXPECT_EQ(largest("blocks.0.adaLN_modulation.1.weight"), 0);
  EXPECT_EQ(largest("blocks.0.attn.proj.bias"), 0);
}

TEST(DitMoe, LearnsLabelsOnlyWhileTrainingWithoutDropout) {
  auto config = golden_model()->config();
  config.class_dropout_prob = 1;
  const auto model = golden_model_as(config);
  const auto run = [&](const at::Tensor& y_B) {
    const at::NoGradGuard no_grad;
    return model->forward({.x_BCHW = golden("forward.x"), .t_B = golden("forward.t"), .y_B = y_B}).out_BCHW;
  };
  const auto null_B = at::full({3}, 10, at::kLong), y_B = at::tensor({1, 2, 3}, at::kLong);
  EXPECT_GT(largest_error(run(y_B), run(null_B)), 1e-3);
  model->train();
  EXPECT_TRUE(at::equal(run(y_B), run(null_B)));
}

TEST(DitMoe, BalanceLossIsAlphaALayerWhenAllIsEvenAndReachesNoExpert) {
  auto config = tiny();
  DitMoe model(config);
  {
    const at::NoGradGuard no_grad;
    for (auto& parameter : model.parameters()) parameter.normal_(0, 0.2);
    for (auto& parameter : model.named_parameters())
      if (parameter.key().ends_with("moe.gate.weight")) parameter.value().zero_();
  }
  auto out = model.forward(input_of(3));
  // With equal scores P is even, whatever the choices are.
  EXPECT_NEAR(model.balance_loss(out.routings).item<double>(), 2 * 0.01, 1e-6);
  model.balance_loss(out.routings).backward();
  for (const auto& parameter : model.named_parameters()) {
    const bool is_gate = parameter.key().ends_with("moe.gate.weight");
    const bool is_last_expert = parameter.key().starts_with("blocks.1.moe.experts");
    if (is_gate || is_last_expert) {
      EXPECT_EQ(parameter.value().grad().defined(), is_gate) << parameter.key();
    }
  }
}

TEST(DitMoe, SamplesDoNotSeeOneAnother) {
  const auto model = golden_model();
  const at::NoGradGuard no_grad;
  const DitMoeInput all{golden("forward.x"), golden("forward.t"), golden("forward.y")};
  const DitMoeInput one{all.x_BCHW.narrow(0, 1, 1), all.t_B.narrow(0, 1, 1), all.y_B.narrow(0, 1, 1)};
  EXPECT_LT(largest_error(model->forward(one).out_BCHW, model->forward(all).out_BCHW.narrow(0, 1, 1)), 1e-5);
}

TEST(DitMoe, TakesNoSamplesAndNamesWhatDoesNotFit) {
  DitMoe model(tiny());
  model.eval();
  EXPECT_EQ(model.forward(input_of(0)).out_BCHW.sizes(), at::IntArrayRef({0, 8, 4, 4}));
  auto input = input_of(2);
  input.x_BCHW = at::zeros({2, 4, 4, 8});
  EXPECT_REFUSED(ShapeError, model.forward(input), "x must be", "(B, 4, 4, 4)");
  input = input_of(2);
  input.t_B = at::zeros({1});
  EXPECT_REFUSED(ShapeError, model.forward(input), "t must be (2)");
  input = input_of(2);
  input.y_B = at::tensor({0.F, 1.F});
  EXPECT_REFUSED(ShapeError, model.forward(input), "y must be i64 (2)");
  input.y_B = at::tensor({0, 6}, at::kLong);
  EXPECT_REFUSED(DataError, model.forward(input), "y must be in [0, 5]", "null class", "got 6");
  input.y_B = at::tensor({-1, 0}, at::kLong);
  EXPECT_REFUSED(DataError, model.forward(input), "got -1");
  EXPECT_REFUSED(ConfigError, DitMoe({.hidden_size = 30}), "hidden_size", "multiple of 4");
}

}  // namespace
}  // namespace polyphony::pipelines
