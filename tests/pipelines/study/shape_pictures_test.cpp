// SPDX-License-Identifier: Apache-2.0
// The small picture task is a pure function of its arguments, and the small training loop learns and stops.
#include "pipelines/study/shape_pictures.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include <limits>
#include <stdexcept>

#include "core/error.h"
#include "pipelines/study/fit.h"

namespace polyphony::pipelines {
namespace {

TEST(ShapePictures, AreAPureFunctionOfTheirArguments) {
  const auto a = shape_pictures(3, "train", 5, 40), b = shape_pictures(3, "train", 5, 40);
  EXPECT_TRUE(at::equal(a.pixels_BCYX, b.pixels_BCYX));
  EXPECT_TRUE(at::equal(a.label_B, b.label_B));
  for (const auto& other :
       {shape_pictures(4, "train", 5, 40), shape_pictures(3, "test", 5, 40), shape_pictures(3, "train", 6, 40)})
    EXPECT_FALSE(at::equal(a.pixels_BCYX, other.pixels_BCYX));
}

TEST(ShapePictures, HaveAllShapesAndBrightnessesInRange) {
  const auto p = shape_pictures(1, "train", 0, 300);
  EXPECT_EQ(p.pixels_BCYX.sizes(), at::IntArrayRef({300, 1, kShapePictureSide, kShapePictureSide}));
  EXPECT_GE(p.pixels_BCYX.min().item<float>(), 0);
  EXPECT_LE(p.pixels_BCYX.max().item<float>(), 1);
  EXPECT_TRUE((p.label_B.bincount({}, kNumShapes) > 20).all().item<bool>());
}

TEST(Fit, LearnsALinearMapAndReportsEachStep) {
  at::manual_seed(1);
  torch::nn::Linear model(4, 1);
  const auto x = at::randn({64, 4}), y = x.matmul(at::arange(4).to(at::kFloat).view({4, 1}));
  const auto loss = [&](int64_t) { return at::mse_loss(model->forward(x), y); };
  const double before = loss(0).item<double>();
  int64_t calls = 0;
  StudyRun run{.progress = [&](int64_t step, int64_t steps) { calls += step < steps; }};
  fit(*model, run, {.steps = 300, .learning_rate = 5e-2}, loss);
  EXPECT_EQ(calls, 300);
  EXPECT_LT(loss(0).item<double>(), 0.01 * before);
  run.progress = [](int64_t step, int64_t) {
    if (step == 3) throw std::runtime_error("stopped");
  };
  EXPECT_THROW(fit(*model, run, {.steps = 10}, loss), std::runtime_error);
}

TEST(Fit, NamesTheStepOfALossThatIsNotFinite) {
  torch::nn::Linear model(1, 1);
  const auto loss = [&](int64_t step) {
    return model->forward(at::ones({1, 1})).sum() * (step == 2 ? std::numeric_limits<double>::quiet_NaN() : 1.0);
  };
  try {
    fit(*model, {}, {.steps = 5}, loss);
    FAIL() << "expected an error";
  } catch (const NonFiniteError& error) {
    EXPECT_NE(std::string(error.what()).find("step 2"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace polyphony::pipelines
