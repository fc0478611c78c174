// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/diffusion_loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::latent {
namespace {

struct Batch {
  explicit Batch(std::vector<int64_t> timesteps) : t(at::tensor(timesteps, at::kLong)) {
    at::manual_seed(2);
    const auto B = static_cast<int64_t>(timesteps.size());
    x0 = at::rand({B, 2, 3, 3}) * 2 - 1;
    noise = at::randn({B, 2, 3, 3});
  }
  at::Tensor output(double variance_channel) const {
    return at::cat({noise, at::full_like(noise, variance_channel)}, 1);
  }
  at::Tensor t, x0, noise;
};

TEST(DiffusionLoss, IsZeroForTheTrueNoiseAndTheTrueVariance) {
  const Batch batch({1, 500, 999});
  const DiffusionLoss loss = diffusion_loss(linear_schedule(), batch.output(-1), batch.x0, batch.noise, batch.t);
  EXPECT_LT(loss.mse.abs().max().item<double>(), 1e-12);
  EXPECT_LT(loss.bound.abs().max().item<double>(), 1e-4);
}

TEST(DiffusionLoss, BoundGrowsWithAWrongVariance) {
  const Batch batch({1, 10});
  const DiffusionLoss loss = diffusion_loss(linear_schedule(), batch.output(1), batch.x0, batch.noise, batch.t);
  EXPECT_GT(loss.bound.min().item<double>(), 1e-4);
}

TEST(DiffusionLoss, BoundTrainsOnlyTheVarianceHalf) {
  const Batch batch({0, 3});
  at::Tensor output = batch.output(0.2).requires_grad_();
  diffusion_loss(linear_schedule(), output, batch.x0, batch.noise, batch.t).bound.sum().backward();
  EXPECT_EQ(output.grad().narrow(1, 0, 2).abs().max().item<float>(), 0);
  EXPECT_GT(output.grad().narrow(1, 2, 2).abs().min().item<float>(), 0);
}

TEST(DiffusionLoss, LastStepCountsBitsOfABinnedGaussian) {
  const Batch batch({0});
  const NoiseSchedule schedule = linear_schedule();
  const double bits = diffusion_loss(schedule, batch.output(-1), batch.x0, batch.noise, batch.t).bound.item<double>();
  // A Gaussian around x0 of the posterior variance of step 1, cut into bins of 2 / 255.
  const double a0 = schedule.at(0), a1 = schedule.at(1);
  const double deviation = std::sqrt((1 - a0) / (1 - a1) * (1 - a1 / a0));
  const double expected = -std::log2(std::erf(1.0 / 255 / deviation / std::sqrt(2.0)));
  EXPECT_NEAR(bits, expected, 0.02 * expected + 0.01);
}

TEST(DiffusionLoss, RefusesAnOutputWithoutVariance) {
  const Batch batch({5});
  EXPECT_THROW(diffusion_loss(linear_schedule(), batch.noise, batch.x0, batch.noise, batch.t), ShapeError);
}

}  // namespace
}  // namespace polyphony::latent
