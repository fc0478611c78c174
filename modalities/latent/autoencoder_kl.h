// SPDX-License-Identifier: Apache-2.0
// AutoencoderKL: pixels to a Gaussian over latents and back, with diffusers' tensor names.
#pragma once
#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor_io.h"
#include "modalities/latent/autoencoder_config.h"
#include "modalities/latent/vae_blocks.h"

namespace polyphony::latent {

// A diagonal Gaussian over latents, both (B, latent_channels, H / downscale, W / downscale).
struct Moments {
  at::Tensor mean;
  at::Tensor logvar;  // clamped to [-30, 20]
};

// mean + exp(logvar / 2) * noise, with noise drawn from `generator` (the default generator without one).
at::Tensor sample_latent(const Moments& moments, const std::optional<at::Generator>& generator = std::nullopt);

// The divergence from the standard normal, summed over a sample's latents and averaged over the batch; f32, 0-d.
// Source: arXiv:2112.10752, appendix G; Auto-Encoding Variational Bayes (arXiv:1312.6114), appendix B.
at::Tensor kl_loss(const Moments& moments);

class VaeEncoder : public torch::nn::Module {
 public:
  explicit VaeEncoder(const AutoencoderConfig& config);
  at::Tensor forward(const at::Tensor& pixels_BCHW);

 private:
  torch::nn::Conv2d conv_in_;
  torch::nn::ModuleList down_blocks_;
  std::shared_ptr<MidBlock> mid_block_;
  torch::nn::GroupNorm conv_norm_out_;
  torch::nn::Conv2d conv_out_;
};

class VaeDecoder : public torch::nn::Module {
 public:
  explicit VaeDecoder(const AutoencoderConfig& config);
  at::Tensor forward(const at::Tensor& z_BCHW);

 private:
  torch::nn::Conv2d conv_in_;
  std::shared_ptr<MidBlock> mid_block_;
  torch::nn::ModuleList up_blocks_;
  torch::nn::GroupNorm conv_norm_out_;
  torch::nn::Conv2d conv_out_;
};

// Weights and inputs share one floating dtype (f32, bf16, f64) and device. Convert with to(dtype); convolutions are
// fastest when both the weights and the input are channels_last (use_channels_last).
class AutoencoderKL : public torch::nn::Module {
 public:
  explicit AutoencoderKL(const AutoencoderConfig& config);  // throws ConfigError

  const AutoencoderConfig& config() const { return config_; }

  // pixels: (B, in_channels, H, W), H and W multiples of downscale(), values -1..1. Throws ShapeError.
  Moments encode(const at::Tensor& pixels_BCHW);
  // z: (B, latent_channels, h, w), not scaled (see from_latent). Returns (B, out_channels, h * downscale, ...), not
  // clamped.
  at::Tensor decode(const at::Tensor& z_BCHW);

  // Between the encoder's z and the scaled latents that a diffusion model sees: (z - shift) * scale and its inverse.
  // With latents_mean and latents_std: (z - mean) * scale / std.
  at::Tensor to_latent(const at::Tensor& z_BCHW) const;
  at::Tensor from_latent(const at::Tensor& latent_BCHW) const;

  // Stores convolution weights channels_last, which is what oneDNN wants; feed inputs in the same format.
  void use_channels_last();

 private:
  void check_map(const char* where, const at::Tensor& x, int64_t channels) const;

  AutoencoderConfig config_;
  std::shared_ptr<VaeEncoder> encoder_;
  std::shared_ptr<VaeDecoder> decoder_;
  torch::nn::Conv2d quant_conv_{nullptr}, post_quant_conv_{nullptr};
};

}  // namespace polyphony::latent
