// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/autoencoder_kl.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::latent {
namespace {

const AutoencoderConfig kTiny{.block_out_channels = {8, 16}, .norm_num_groups = 4};

TEST(AutoencoderKL, ChangesTheResolutionByItsDownscale) {
  AutoencoderKL model({.latent_channels = 3, .block_out_channels = {4, 4, 8}, .norm_num_groups = 2});
  const Moments moments = model.encode(at::randn({2, 3, 16, 24}));
  EXPECT_EQ(moments.mean.sizes(), at::IntArrayRef({2, 3, 4, 6}));
  EXPECT_EQ(moments.logvar.sizes(), moments.mean.sizes());
  EXPECT_EQ(model.decode(moments.mean).sizes(), at::IntArrayRef({2, 3, 16, 24}));
}

TEST(AutoencoderKL, ScalingIsUndoneByItsInverse) {
  const at::Tensor z = at::randn({2, 4, 3, 3}, at::kDouble);
  AutoencoderConfig config = kTiny;
  config.shift_factor = 0.1159;
  const AutoencoderKL shifted(config);
  EXPECT_TRUE(at::allclose(shifted.to_latent(z), (z - 0.1159) * 0.18215));
  EXPECT_TRUE(at::allclose(shifted.from_latent(shifted.to_latent(z)), z));
  config.latents_mean = {1, 2, 3, 4};
  config.latents_std = {2, 2, 4, 4};
  const AutoencoderKL normed(config);
  EXPECT_TRUE(at::allclose(normed.from_latent(normed.to_latent(z)), z));
  EXPECT_NEAR(normed.to_latent(at::zeros_like(z))[0][3][0][0].item<double>(), -4 * 0.18215 / 4, 1e-12);
}

TEST(AutoencoderKL, MemoryFormatChangesNothingButSpeed) {
  const at::NoGradGuard no_grad;
  AutoencoderKL model(kTiny);
  const at::Tensor image = at::randn({2, 3, 16, 16});
  const Moments plain = model.encode(image);
  const at::Tensor decoded = model.decode(plain.mean);
  model.use_channels_last();
  const Moments last = model.encode(image.contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(at::allclose(last.mean, plain.mean, 1e-4, 1e-5));
  const at::Tensor decoded_last = model.decode(plain.mean.contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(at::allclose(decoded_last, decoded, 1e-4, 1e-5));
  EXPECT_TRUE(decoded_last.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(AutoencoderKL, RunsInBfloat16CloseToFloat) {
  const at::NoGradGuard no_grad;
  AutoencoderKL model(kTiny);
  const at::Tensor image = at::randn({1, 3, 16, 16});
  const at::Tensor mean = model.encode(image).mean, decoded = model.decode(mean);
  model.to(at::kBFloat16);
  const at::Tensor low_mean = model.encode(image.to(at::kBFloat16)).mean;
  EXPECT_EQ(low_mean.scalar_type(), at::kBFloat16);
  EXPECT_LT((low_mean.to(at::kFloat) - mean).norm().item<double>(), 3e-2 * mean.norm().item<double>());
  const at::Tensor low = model.decode(mean.to(at::kBFloat16)).to(at::kFloat);
  EXPECT_LT((low - decoded).norm().item<double>(), 3e-2 * decoded.norm().item<double>());
}

TEST(AutoencoderKL, LearnsToReconstructOneImage) {
  at::manual_seed(3);
  AutoencoderKL model(kTiny);
  const at::Tensor image = at::rand({1, 3, 8, 8}) * 2 - 1;
  double first = 0, last = 0;
  for (int step = 0; step < 40; ++step) {
    const Moments moments = model.encode(image);
    const at::Tensor loss = (model.decode(moments.mean) - image).square().mean() + 1e-6 * kl_loss(moments);
    last = loss.item<double>();
    if (step == 0) first = last;
    loss.backward();
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : model.parameters()) {
      ASSERT_TRUE(parameter.grad().defined());
      parameter.sub_(0.05 * parameter.grad() / (parameter.grad().norm() + 1e-6));
      parameter.mutable_grad() = at::Tensor();
    }
  }
  EXPECT_LT(last, 0.5 * first);
}

TEST(AutoencoderKL, RefusesImagesThatItCannotTake) {
  AutoencoderKL model(kTiny);
  EXPECT_THROW(model.encode(at::randn({1, 4, 16, 16})), ShapeError);
  EXPECT_THROW(model.encode(at::randn({1, 3, 15, 16})), ShapeError);
  EXPECT_THROW(model.encode(at::randn({3, 16, 16})), ShapeError);
  EXPECT_THROW(model.encode(at::randn({1, 3, 16, 16}, at::kDouble)), ShapeError);
  EXPECT_THROW(model.decode(at::randn({1, 3, 8, 8})), ShapeError);
  EXPECT_THROW(model.decode(at::Tensor()), ShapeError);
}

TEST(Moments, SamplesHaveTheirMeanAndDeviation) {
  at::manual_seed(5);
  const Moments moments{.mean = at::full({1, 1, 100, 100}, 2.), .logvar = at::full({1, 1, 100, 100}, std::log(9.))};
  const at::Tensor sample = sample_latent(moments);
  EXPECT_NEAR(sample.mean().item<double>(), 2, 0.1);
  EXPECT_NEAR(sample.std().item<double>(), 3, 0.1);
}

TEST(KlLoss, IsZeroForTheStandardNormalOnly) {
  const at::Tensor zero = at::zeros({2, 4, 2, 2});
  EXPECT_EQ(kl_loss({zero, zero}).item<float>(), 0);
  EXPECT_NEAR(kl_loss({zero + 1, zero}).item<float>(), 0.5 * 16, 1e-5);
  EXPECT_GT(kl_loss({zero, zero - 1}).item<float>(), 0);
}

}  // namespace
}  // namespace polyphony::latent
