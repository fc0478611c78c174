// SPDX-License-Identifier: Apache-2.0
// The blocks that the encoder and the decoder of an AutoencoderKL are made of. Child names are diffusers' tensor names.
// Source: High-Resolution Image Synthesis with Latent Diffusion Models (arXiv:2112.10752); names as in diffusers.
// Shapes: feature maps x_BCHW, in either memory format; every block keeps the format that it is given.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

namespace polyphony::latent {

struct BlockWidths {
  int64_t in_channels;
  int64_t out_channels;
  int64_t groups;  // of each group norm, eps 1e-6
};

// x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 shortcut where the width changes.
class ResnetBlock : public torch::nn::Module {
 public:
  explicit ResnetBlock(const BlockWidths& widths);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  torch::nn::GroupNorm norm1_, norm2_;
  torch::nn::Conv2d conv1_, conv2_;
  torch::nn::Conv2d conv_shortcut_{nullptr};
};

// x + single-head self-attention over all positions of the group-normed map.
class SpatialAttention : public torch::nn::Module {
 public:
  SpatialAttention(int64_t channels, int64_t groups);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  torch::nn::GroupNorm group_norm_;
  torch::nn::Linear to_q_, to_k_, to_v_;
  torch::nn::ModuleList to_out_;
};

// Halves the resolution: zeros on the right and bottom edge only, then a 3x3 convolution of stride 2.
class Downsample : public torch::nn::Module {
 public:
  explicit Downsample(int64_t channels);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  torch::nn::Conv2d conv_;
};

// Doubles the resolution: nearest neighbour, then a 3x3 convolution.
class Upsample : public torch::nn::Module {
 public:
  explicit Upsample(int64_t channels);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  torch::nn::Conv2d conv_;
};

// One level: `layers` resnets, then Resampler (Downsample or Upsample) where asked for.
enum class Resample { none, down, up };

class LevelBlock : public torch::nn::Module {
 public:
  LevelBlock(const BlockWidths& widths, int64_t layers, Resample resample);
  at::Tensor forward(at::Tensor x_BCHW);

 private:
  torch::nn::ModuleList resnets_;
  std::shared_ptr<Downsample> downsample_;
  std::shared_ptr<Upsample> upsample_;
};

// Resnet, attention where asked for, resnet.
struct MidBlockOptions {
  int64_t channels;
  int64_t groups;
  bool attention = true;
};

class MidBlock : public torch::nn::Module {
 public:
  explicit MidBlock(const MidBlockOptions& options);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  torch::nn::ModuleList resnets_, attentions_;
};

// 3x3 convolution that keeps the resolution.
torch::nn::Conv2d same_conv(int64_t in_channels, int64_t out_channels);
torch::nn::GroupNorm group_norm(int64_t channels, int64_t groups);

}  // namespace polyphony::latent
