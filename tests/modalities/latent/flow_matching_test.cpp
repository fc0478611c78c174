// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/flow_matching.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::latent {
namespace {

struct Path {
  at::Tensor x0 = at::randn({3, 4, 2, 2}, at::kDouble);
  at::Tensor noise = at::randn({3, 4, 2, 2}, at::kDouble);
  at::Tensor t = at::tensor({0.1, 0.5, 0.9}, at::kDouble);
};

TEST(FlowMatching, ConversionsRecoverTheEndsOfThePath) {
  const Path path;
  const at::Tensor x_t = flow_interpolate(path.x0, path.noise, path.t), v = flow_velocity(path.x0, path.noise);
  EXPECT_TRUE(at::allclose(flow_x0(x_t, v, path.t), path.x0));
  EXPECT_TRUE(at::allclose(flow_noise(x_t, v, path.t), path.noise));
  EXPECT_TRUE(at::allclose(flow_velocity_from_x0(x_t, path.x0, path.t), v));
}

TEST(FlowMatching, TimeZeroIsDataAndTimeOneIsNoise) {
  const Path path;
  EXPECT_TRUE(at::equal(flow_interpolate(path.x0, path.noise, at::zeros({3})), path.x0));
  EXPECT_TRUE(at::equal(flow_interpolate(path.x0, path.noise, at::ones({3})), path.noise));
}

TEST(FlowMatching, LossIgnoresTheVarianceHalfOfAPrediction) {
  const Path path;
  const at::Tensor v = flow_velocity(path.x0, path.noise);
  EXPECT_EQ(flow_loss(v, path.x0, path.noise).item<float>(), 0);
  EXPECT_EQ(flow_loss(at::cat({v, at::randn_like(v)}, 1), path.x0, path.noise).item<float>(), 0);
  EXPECT_NEAR(flow_loss(v + 2, path.x0, path.noise).item<float>(), 4, 1e-5);
  EXPECT_THROW(flow_loss(v.narrow(1, 0, 3), path.x0, path.noise), ShapeError);
}

TEST(FlowMatching, TimesFollowTheirDistributionAndTheirSeed) {
  const auto seeded = [](uint64_t seed) {
    auto generator = at::globalContext().defaultGenerator(at::kCPU).clone();
    generator.set_current_seed(seed);
    return generator;
  };
  const at::Tensor uniform = sample_times(20000, {.distribution = TimeDistribution::uniform}, seeded(1));
  EXPECT_NEAR(uniform.std().item<double>(), 0.2887, 0.005);
  const at::Tensor logit_normal = sample_times(20000, {}, seeded(1));
  EXPECT_NEAR(logit_normal.logit().mean().item<double>(), 0, 0.02);
  EXPECT_NEAR(logit_normal.logit().std().item<double>(), 1, 0.02);
  EXPECT_TRUE(at::equal(logit_normal, sample_times(20000, {}, seeded(1))));
  EXPECT_GT(sample_times(20000, {.mean = 1}, seeded(1)).mean().item<double>(), logit_normal.mean().item<double>());
}

TEST(EulerSampler, FollowsAStraightPathExactly) {
  const Path path;
  const at::Tensor v = flow_velocity(path.x0, path.noise);
  std::vector<double> seen;
  const auto model = [&](const at::Tensor&, double t) {
    seen.push_back(t);
    return v;
  };
  const SampleResult result = euler_sample(path.noise, model, {.steps = 4});
  EXPECT_TRUE(at::allclose(result.x, path.x0));
  EXPECT_EQ(seen, (std::vector<double>{1, 0.75, 0.5, 0.25}));
  EXPECT_EQ(result.steps_done, 4);
  EXPECT_TRUE(result.finished);
}

TEST(EulerSampler, PreviewsThePredictedDataAtEveryStep) {
  const Path path;
  const at::Tensor v = flow_velocity(path.x0, path.noise);
  int64_t steps = 0;
  euler_sample(
      path.noise, [&](const at::Tensor&, double) { return v; }, {.steps = 5},
      [&](const SampleStep& step) {
        EXPECT_EQ(step.step, ++steps);
        EXPECT_EQ(step.num_steps, 5);
        EXPECT_TRUE(at::allclose(step.x0, path.x0));
        EXPECT_TRUE(at::allclose(step.x, flow_interpolate(path.x0, path.noise, at::full({3}, step.t, at::kDouble))));
        return true;
      });
  EXPECT_EQ(steps, 5);
}

TEST(EulerSampler, StopsWhereTheCallbackSaysSo) {
  int64_t calls = 0;
  const auto model = [&](const at::Tensor& x, double) {
    ++calls;
    return x;
  };
  const SampleResult result =
      euler_sample(at::ones({1, 1}), model, {.steps = 10}, [](const SampleStep& step) { return step.step < 3; });
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(result.steps_done, 3);
  EXPECT_FALSE(result.finished);
}

TEST(EulerSampler, ConvergesToTheSolutionAtFirstOrder) {
  // dx/dt = x backwards from t = 1: x(0) = x(1) / e.
  const auto error = [](int64_t steps) {
    const auto model = [](const at::Tensor& x, double) { return x; };
    return std::abs(euler_sample(at::ones({1, 1}, at::kDouble), model, {.steps = steps}).x.item<double>() -
                    std::exp(-1));
  };
  EXPECT_NEAR(error(50) / error(100), 2, 0.05);
}

TEST(EulerSampler, LeavesItsInputAndTakesNoGradient) {
  const at::Tensor x = at::ones({1, 1}).requires_grad_();
  const at::Tensor result = euler_sample(x, [](const at::Tensor& y, double) { return y; }, {.steps = 2}).x;
  EXPECT_FALSE(result.requires_grad());
  EXPECT_EQ(x.item<float>(), 1);
}

TEST(EulerSampler, TimesFallForEveryStartAndShift) {
  for (const double start : {0.01, 0.3, 0.77, 1.0}) {
    for (const double shift : {0.5, 1.0, 3.0}) {
      const auto times = euler_times({.steps = 10, .start = start, .shift = shift});
      EXPECT_EQ(times.size(), std::max<size_t>(1, static_cast<size_t>(std::ceil(start * 10 - 1e-9))) + 1);
      EXPECT_EQ(times.back(), 0);
      for (size_t i = 1; i < times.size(); ++i) EXPECT_LT(times[i], times[i - 1]);
    }
  }
}

TEST(EulerSampler, RefusesOptionsOutOfRange) {
  EXPECT_THROW(euler_times({.steps = 0}), ConfigError);
  EXPECT_THROW(euler_times({.start = 0}), ConfigError);
  EXPECT_THROW(euler_times({.start = 1.5}), ConfigError);
  EXPECT_THROW(euler_times({.shift = 0}), ConfigError);
  EXPECT_THROW(euler_sample(at::ones({1, 2}), [](const at::Tensor&, double) { return at::ones({2, 2}); }), ShapeError);
}

}  // namespace
}  // namespace polyphony::latent
