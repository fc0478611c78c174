// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/sampler.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/rng.h"
#include "modalities/latent/ddpm.h"
#include "tests/pipelines/dit_moe/golden.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

DitMoeSampling sampling(DitMoeSampler sampler, std::vector<int64_t> classes, uint64_t seed = 4) {
  return {
      .sampler = sampler, .steps = 5, .guidance = {.y_N = at::tensor(classes, at::kLong), .scale = 2}, .seed = seed};
}

constexpr DitMoeSampler kAll[] = {DitMoeSampler::euler, DitMoeSampler::ddpm, DitMoeSampler::ddim,
                                  DitMoeSampler::dpm_solver};

TEST(DitMoeSampler, DrawsAPictureTheSameAloneAndTogether) {
  const auto model = golden_model();
  for (const auto kind : kAll) {
    const auto together = sample_dit_moe(model, sampling(kind, {3, 7})).x;
    const auto alone = sample_dit_moe(model, sampling(kind, {7}, 5)).x;
    const double scale = std::max(1.0, rms(alone));
    EXPECT_LT(largest_error(together.narrow(0, 1, 1), alone) / scale, 1e-4) << static_cast<int>(kind);
  }
}

TEST(DitMoeSampler, VisitsThePublishedTimesteps) {
  const auto model = golden_model();
  const auto times = [&](DitMoeSampler kind, int64_t steps) {
    std::vector<double> seen;
    auto s = sampling(kind, {1});
    s.steps = steps;
    s.guidance.on_routing = [&](double t, const std::vector<moe::Routing>&) { seen.push_back(t); };
    sample_dit_moe(model, s);
    return seen;
  };
  EXPECT_EQ(times(DitMoeSampler::euler, 4), (std::vector<double>{1, 0.75, 0.5, 0.25}));
  EXPECT_EQ(times(DitMoeSampler::ddpm, 4), (std::vector<double>{999, 666, 333, 0}));
  EXPECT_EQ(times(DitMoeSampler::ddim, 4), (std::vector<double>{750, 500, 250, 0}));
  EXPECT_EQ(times(DitMoeSampler::dpm_solver, 3), (std::vector<double>{999, 666, 333}));
}

TEST(DitMoeSampler, AGuidedDdpmStepDrawsForBothHalvesAsPublished) {
  // The stream of one picture: its start, then two rows a step of which the first is used.
  const auto model = golden_model();
  const auto s = sampling(DitMoeSampler::ddpm, {2}, 11);
  auto generator = make_generator(11);
  const auto start = at::randn({1, 4, 8, 8}, generator);
  EXPECT_TRUE(at::equal(starting_noise(model->config(), s), start));
  const auto noise = [&](int64_t) { return at::randn({2, 4, 8, 8}, generator).narrow(0, 0, 1); };
  const auto expected = latent::ddpm_sample(latent::linear_schedule(), start, guided_epsilon(model, s.guidance),
                                            {.respacing = "5", .noise = noise});
  EXPECT_TRUE(at::equal(sample_dit_moe(model, s).x, expected.x));
}

TEST(DitMoeSampler, RefusesWhatCannotBe) {
  const auto model = golden_model();
  auto s = sampling(DitMoeSampler::ddim, {1});
  s.steps = 501;
  EXPECT_REFUSED(ConfigError, sample_dit_moe(model, s), "no integer stride", "501");
  s.steps = 0;
  EXPECT_REFUSED(ConfigError, sample_dit_moe(model, s), "steps must be in [1, 1000]");
  EXPECT_REFUSED(ConfigError, dit_moe_sampler("dpm"), "euler, ddpm, ddim, dpm++", "'dpm'");
  EXPECT_EQ(dit_moe_sampler("dpm++"), DitMoeSampler::dpm_solver);
}

}  // namespace
}  // namespace polyphony::pipelines
