// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/latent_preview.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::latent {
namespace {

TEST(LatentPreview, RecoversALinearAutoencoder) {
  const at::Tensor latent = at::randn({2, 4, 6, 5});
  const at::Tensor weight = at::tensor({.1, .0, .2, .0, -.1, .1, .05, .1, .0, .0, .1, .0}, at::kFloat).view({4, 3});
  const at::Tensor small = at::einsum("bchw,cr->brhw", {latent, weight}) + 0.25;
  const at::Tensor pixels = small.repeat_interleave(8, 2).repeat_interleave(8, 3);
  const LatentPreview preview = fit_latent_preview(latent, pixels);
  EXPECT_TRUE(at::allclose(preview.weight_CR, weight, 1e-3, 1e-4));
  EXPECT_TRUE(at::allclose(preview.bias_R, at::full({3}, 0.25), 1e-3, 1e-4));
  EXPECT_TRUE(at::allclose(preview_pixels(preview, latent), small.clamp(-1, 1), 1e-3, 1e-3));
}

TEST(LatentPreview, StandsRepeatedChannelsAndStaysInRange) {
  const at::Tensor channel = at::randn({1, 1, 4, 4});
  const LatentPreview preview = fit_latent_preview(channel.repeat({1, 4, 1, 1}), at::rand({1, 3, 8, 8}));
  const at::Tensor pixels = preview_pixels(preview, 100 * at::randn({1, 4, 4, 4}));
  EXPECT_TRUE(pixels.isfinite().all().item<bool>());
  EXPECT_LE(pixels.abs().max().item<float>(), 1);
}

TEST(LatentPreview, RefusesPairsThatDoNotMatch) {
  EXPECT_THROW(fit_latent_preview(at::randn({1, 4, 4, 4}), at::randn({2, 3, 8, 8})), ShapeError);
  const LatentPreview preview = fit_latent_preview(at::randn({1, 4, 4, 4}), at::randn({1, 3, 8, 8}));
  EXPECT_THROW(preview_pixels(preview, at::randn({1, 3, 4, 4})), ShapeError);
}

}  // namespace
}  // namespace polyphony::latent
