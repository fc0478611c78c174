// SPDX-License-Identifier: Apache-2.0
// A picture of a latent without the decoder: one linear map from latent channels to RGB, fitted to an autoencoder.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::latent {

// pixel = latent weight + bias, at the resolution of the latent.
struct LatentPreview {
  at::Tensor weight_CR;  // f32 (latent channels, 3)
  at::Tensor bias_R;     // f32 (3)
};

// Least squares over pairs of latents (B, C, h, w) and the pixels (B, 3, H, W) in -1..1 that they stand for; the pixels
// are averaged down to h x w. A little ridge keeps it defined where channels repeat each other. Throws ShapeError.
LatentPreview fit_latent_preview(const at::Tensor& latent_BCHW, const at::Tensor& pixels_BCHW);

// (B, C, h, w) -> (B, 3, h, w), f32, clamped to -1..1. Throws ShapeError.
at::Tensor preview_pixels(const LatentPreview& preview, const at::Tensor& latent_BCHW);

}  // namespace polyphony::latent
