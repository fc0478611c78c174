// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/guidance.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "modalities/latent/ddpm.h"
#include "tests/pipelines/dit_moe/golden.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

// Guidance multiplies the rounding of both passes.
double tolerance(double scale) { return 1e-5 * (std::abs(scale) + std::abs(1 - scale)); }

at::Tensor latents(int64_t N) { return at::linspace(-2, 2, N * 4 * 8 * 8).sin().view({N, 4, 8, 8}); }
at::Tensor classes() { return at::tensor({3, 9}, at::kLong); }

TEST(DitMoeGuidance, BatchedEqualsTwoPasses) {
  const at::NoGradGuard no_grad;
  const auto model = golden_model();
  const auto x = latents(2);
  for (const double scale : {0.0, 1.5, 7.0}) {
    const DitMoeGuidance batched{.y_N = classes(), .scale = scale},
        apart{.y_N = classes(), .scale = scale, .batched = false};
    EXPECT_LT(largest_error(guided_velocity(model, batched)(x, 0.4), guided_velocity(model, apart)(x, 0.4)),
              tolerance(scale));
    EXPECT_LT(largest_error(guided_epsilon(model, batched)(x, 40), guided_epsilon(model, apart)(x, 40)),
              tolerance(scale));
  }
}

TEST(DitMoeGuidance, FlowGuidesEveryChannelAndDdpmThree) {
  const at::NoGradGuard no_grad;
  const auto model = golden_model();
  const auto x = latents(2), none = at::full({2}, 10, at::kLong);
  const auto pass = [&](const at::Tensor& y, double t) {
    return model->forward({.x_BCHW = x, .t_B = at::full({2}, t), .y_B = y}).out_BCHW;
  };
  const auto c = pass(classes(), 0.4), u = pass(none, 0.4);
  const auto velocity = guided_velocity(model, {.y_N = classes(), .scale = 3})(x, 0.4);
  EXPECT_LT(largest_error(velocity, (u + 3 * (c - u)).narrow(1, 0, 4)), tolerance(3));

  const auto c40 = pass(classes(), 40), u40 = pass(none, 40);
  const auto epsilon = guided_epsilon(model, {.y_N = classes(), .scale = 3})(x, 40);
  EXPECT_LT(largest_error(epsilon.narrow(1, 0, 3), (u40 + 3 * (c40 - u40)).narrow(1, 0, 3)), tolerance(3));
  EXPECT_LT(largest_error(epsilon.narrow(1, 3, 5), c40.narrow(1, 3, 5)), 1e-5);
}

TEST(DitMoeGuidance, ScaleOneIsTheConditionalPassAlone) {
  const at::NoGradGuard no_grad;
  const auto model = golden_model();
  const auto x = latents(2);
  const auto plain = model->forward({.x_BCHW = x, .t_B = at::full({2}, 0.4), .y_B = classes()}).out_BCHW;
  EXPECT_TRUE(at::equal(guided_velocity(model, {.y_N = classes()})(x, 0.4), plain.narrow(1, 0, 4)));
}

TEST(DitMoeGuidance, ReportsTheChoicesOfTheConditionalHalf) {
  const at::NoGradGuard no_grad;
  const auto model = golden_model();
  std::vector<std::vector<moe::Routing>> seen;
  const auto keep = [&](double, const std::vector<moe::Routing>& routings) { seen.push_back(routings); };
  for (const bool batched : {true, false})
    guided_velocity(model, {.y_N = classes(), .scale = 4, .batched = batched, .on_routing = keep})(latents(2), 0.5);
  ASSERT_EQ(seen.size(), 2u);
  for (size_t layer = 0; layer < 3; ++layer) {
    const auto &batched = seen[0][layer], &apart = seen[1][layer];
    EXPECT_EQ(batched.num_tokens, 2 * 16);
    EXPECT_TRUE(at::equal(batched.token_N, apart.token_N));
    EXPECT_TRUE(at::equal(batched.expert_N, apart.expert_N));
    EXPECT_LT(largest_error(batched.score_TE, apart.score_TE), 1e-6);
  }
}

TEST(DitMoeGuidance, SideBySideGivesTheBitsOfOneAfterTheOther) {
  const c10::InferenceMode inference;
  const auto model = golden_model();
  const auto passes = [&](bool side_by_side) {
    return guided_epsilon(model, {.y_N = classes(), .scale = 4, .batched = false, .side_by_side = side_by_side})(
        latents(2), 500);
  };
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto expected = passes(false);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(at::equal(passes(true), expected)) << i;
  at::set_num_threads(before);
}

TEST(DitMoeGuidance, NeedsANullClassAndAFiniteScale) {
  auto config = golden_model()->config();
  EXPECT_REFUSED(ConfigError, guided_velocity(golden_model(), {.y_N = classes(), .scale = std::nan("")}), "finite");
  config.class_dropout_prob = 0;
  const auto model = std::make_shared<DitMoe>(config);
  EXPECT_REFUSED(ConfigError, guided_epsilon(model, {.y_N = classes(), .scale = 2}), "label dropout");
  EXPECT_REFUSED(DataError,
                 model->forward({.x_BCHW = latents(1), .t_B = at::zeros({1}), .y_B = at::full({1}, 10, at::kLong)}),
                 "[0, 9]");
}

}  // namespace
}  // namespace polyphony::pipelines
