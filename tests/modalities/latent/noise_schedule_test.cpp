// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/noise_schedule.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "modalities/latent/ddim.h"
#include "modalities/latent/ddpm.h"
#include "modalities/latent/dpm_solver.h"

namespace polyphony::latent {
namespace {

TEST(NoiseSchedule, FallsFromCleanToNoise) {
  const NoiseSchedule schedule = linear_schedule();
  EXPECT_EQ(schedule.num_timesteps(), 1000);
  EXPECT_DOUBLE_EQ(schedule.at(0), 1 - 1e-4);
  EXPECT_EQ(schedule.at(-1), 1);
  EXPECT_NEAR(schedule.at(999), 4.0358e-5, 1e-8);  // exp of the sum of log(1 - beta)
  for (int64_t t = 1; t < 1000; ++t) EXPECT_LT(schedule.at(t), schedule.at(t - 1));
}

TEST(Respacing, KeepsTheEndsAndTheCount) {
  const NoiseSchedule schedule = linear_schedule();
  const auto kept = respaced_timesteps(schedule, "250");
  EXPECT_EQ(kept.size(), 250u);
  EXPECT_EQ(kept.front(), 0);
  EXPECT_EQ(kept.back(), 999);
  EXPECT_EQ((std::vector<int64_t>(kept.begin(), kept.begin() + 4)), (std::vector<int64_t>{0, 4, 8, 12}));
  EXPECT_EQ(kept[248], 995);
  EXPECT_EQ(respaced_timesteps(schedule, "1000").size(), 1000u);
}

TEST(Respacing, DdimTakesAnIntegerStrideFromZero) {
  const auto kept = respaced_timesteps(linear_schedule(), "ddim50");
  EXPECT_EQ(kept.size(), 50u);
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i], static_cast<int64_t>(20 * i));
  EXPECT_THROW(respaced_timesteps(linear_schedule(), "ddim999"), ConfigError);
}

TEST(Respacing, SectionsAreSpacedOneByOne) {
  const auto kept = respaced_timesteps(linear_schedule(300), "10,15,20");
  EXPECT_EQ(kept.size(), 45u);
  EXPECT_EQ(kept[9], 99);
  EXPECT_EQ(kept[10], 100);
  EXPECT_EQ(kept.back(), 299);
}

TEST(Respacing, RefusesWhatIsNoCount) {
  for (const char* text : {"", "abc", "0", "-3", "10,", "1001", "ddim", "2.5", "99999999999999999999"})
    EXPECT_THROW(respaced_timesteps(linear_schedule(), text), ConfigError) << text;
}

TEST(SpacedTimesteps, StayInsideForEveryNumberOfSteps) {
  const NoiseSchedule schedule = linear_schedule();
  for (const auto spacing : {Spacing::leading, Spacing::linspace, Spacing::trailing}) {
    for (int64_t steps = 1; steps <= 1000; steps += 37) {
      const auto timesteps = spaced_timesteps(schedule, {.steps = steps, .spacing = spacing});
      EXPECT_EQ(static_cast<int64_t>(timesteps.size()), steps);
      EXPECT_GE(timesteps.back(), 0);
      EXPECT_LT(timesteps.front(), 1000);
    }
  }
  EXPECT_THROW(spaced_timesteps(schedule, {.steps = 0}), ConfigError);
  EXPECT_THROW(spaced_timesteps(schedule, {.steps = 1001}), ConfigError);
  EXPECT_THROW(spaced_timesteps(schedule, {.steps = 50, .offset = 500}), ConfigError);
}

TEST(CleanAndNoise, EveryPredictionNamesTheSamePair) {
  const at::Tensor x0 = at::randn({2, 4}, at::kDouble), noise = at::randn({2, 4}, at::kDouble);
  const double a = 0.37, signal = std::sqrt(a), level = std::sqrt(1 - a);
  const at::Tensor x_t = signal * x0 + level * noise;
  const std::pair<Prediction, at::Tensor> outputs[] = {
      {Prediction::epsilon, noise}, {Prediction::sample, x0}, {Prediction::velocity, signal * noise - level * x0}};
  for (const auto& [prediction, output] : outputs) {
    const auto pair = clean_and_noise(output, x_t, a, prediction);
    EXPECT_TRUE(at::allclose(pair.x0, x0));
    EXPECT_TRUE(at::allclose(pair.epsilon, noise));
  }
}

TEST(AddNoise, MixesBySampleTimestep) {
  const NoiseSchedule schedule = linear_schedule();
  const at::Tensor x0 = at::ones({2, 3}, at::kDouble), noise = at::zeros({2, 3}, at::kDouble);
  const at::Tensor mixed = add_noise(schedule, x0, noise, at::tensor({0, 999}, at::kLong));
  EXPECT_NEAR(mixed[0][0].item<double>(), std::sqrt(schedule.at(0)), 1e-12);
  EXPECT_NEAR(mixed[1][0].item<double>(), std::sqrt(schedule.at(999)), 1e-12);
  EXPECT_THROW(add_noise(schedule, x0, noise, at::tensor({0, 1000}, at::kLong)), ShapeError);
  EXPECT_THROW(add_noise(schedule, x0, noise, at::tensor({0}, at::kLong)), ShapeError);
}

// With a model that knows the clean sample every sampler must arrive at it.
TEST(Samplers, FindTheSampleThatTheModelKnows) {
  const NoiseSchedule schedule = linear_schedule();
  const at::Tensor x0 = at::randn({1, 2, 2, 2}, at::kDouble), start = at::randn({1, 2, 2, 2}, at::kDouble);
  const DiscreteModel knows = [&](const at::Tensor& x, int64_t t) {
    const double a = schedule.at(t);
    return at::cat({(x - std::sqrt(a) * x0) / std::sqrt(1 - a), at::zeros_like(x)}, 1);
  };
  EXPECT_TRUE(at::allclose(ddim_sample(schedule, start, knows).x, x0, 1e-6, 1e-8));
  EXPECT_TRUE(at::allclose(dpm_solver_sample(schedule, start, knows).x, x0, 1e-6, 1e-8));
  EXPECT_TRUE(at::allclose(ddpm_sample(schedule, start, knows, {.respacing = "25"}).x, x0, 1e-6, 1e-8));
}

TEST(Samplers, DdpmTakesGivenNoise) {
  const NoiseSchedule schedule = linear_schedule();
  const at::Tensor start = at::randn({2, 2, 2, 2}), zeros = at::zeros_like(start);
  const DiscreteModel model = [](const at::Tensor& x, int64_t) { return at::cat({0.3 * x, x.tanh()}, 1); };
  std::vector<int64_t> steps;
  const auto given = [&](int64_t step) {
    steps.push_back(step);
    return zeros;
  };
  const auto silent = ddpm_sample(schedule, start, model, {.respacing = "5", .noise = given});
  EXPECT_EQ(steps, (std::vector<int64_t>{0, 1, 2, 3, 4}));
  at::Tensor x = start;
  for (const Transition& transition : ancestral_transitions(respaced_timesteps(schedule, "5")))
    x = ddpm_posterior(schedule, transition, model(x, transition.t), x, {}).mean;
  EXPECT_TRUE(at::equal(silent.x, x));
  const auto wrong = [](int64_t) { return at::zeros({1}); };
  EXPECT_THROW(ddpm_sample(schedule, start, model, {.respacing = "5", .noise = wrong}), ShapeError);
}

TEST(Samplers, DdimTakesGivenTransitions) {
  const NoiseSchedule schedule = linear_schedule();
  const at::Tensor start = at::randn({1, 2, 2, 2});
  std::vector<int64_t> visited;
  const DiscreteModel model = [&](const at::Tensor& x, int64_t t) {
    visited.push_back(t);
    return 0.3 * x;
  };
  ddim_sample(schedule, start, model, {.transitions = ancestral_transitions(respaced_timesteps(schedule, "ddim30"))});
  EXPECT_EQ(visited.size(), 30u);
  EXPECT_EQ(visited.front(), 29 * 34);
}

TEST(Samplers, StopWhereTheCallbackSaysSo) {
  const NoiseSchedule schedule = linear_schedule();
  const at::Tensor start = at::randn({1, 2, 2, 2});
  const DiscreteModel model = [](const at::Tensor& x, int64_t) { return at::cat({x, x}, 1); };
  const OnStep stop_at_two = [](const SampleStep& step) { return step.step < 2; };
  for (const SampleResult& result : {ddim_sample(schedule, start, model, {}, stop_at_two),
                                     dpm_solver_sample(schedule, start, model, {}, stop_at_two),
                                     ddpm_sample(schedule, start, model, {}, stop_at_two)}) {
    EXPECT_EQ(result.steps_done, 2);
    EXPECT_FALSE(result.finished);
  }
}

TEST(Samplers, RefuseAModelOutputOfAnotherShape) {
  const NoiseSchedule schedule = linear_schedule();
  const at::Tensor start = at::randn({1, 2, 2, 2});
  const DiscreteModel wrong = [](const at::Tensor& x, int64_t) { return at::cat({x, x, x}, 1); };
  const DiscreteModel no_variance = [](const at::Tensor& x, int64_t) { return x; };
  EXPECT_THROW(ddim_sample(schedule, start, wrong), ShapeError);
  EXPECT_THROW(ddpm_sample(schedule, start, no_variance), ShapeError);
}

TEST(Guide, ScalesTheDifferenceOnTheGuidedChannelsOnly) {
  const at::Tensor with = at::full({1, 4, 1, 1}, 3.), without = at::full({1, 4, 1, 1}, 1.);
  EXPECT_TRUE(at::equal(guide(with, without, {.scale = 2}), at::full({1, 4, 1, 1}, 5.)));
  EXPECT_TRUE(at::equal(guide(with, without, {.scale = 2, .channels = 3}).flatten(), at::tensor({5.f, 5.f, 5.f, 3.f})));
  EXPECT_TRUE(at::equal(guide(with, without, {.scale = 1}), with));
  EXPECT_THROW(guide(with, without, {.scale = 2, .channels = 5}), ShapeError);
}

}  // namespace
}  // namespace polyphony::latent
