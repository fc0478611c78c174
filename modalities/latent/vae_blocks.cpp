// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/vae_blocks.h"

namespace polyphony::latent {

using torch::nn::Conv2d;
using torch::nn::Conv2dOptions;
using torch::nn::GroupNorm;
using torch::nn::GroupNormOptions;

Conv2d same_conv(int64_t in_channels, int64_t out_channels) {
  return Conv2d(Conv2dOptions(in_channels, out_channels, 3).padding(1));
}

GroupNorm group_norm(int64_t channels, int64_t groups) {
  return GroupNorm(GroupNormOptions(groups, channels).eps(1e-6));
}

ResnetBlock::ResnetBlock(const BlockWidths& w)
    : norm1_(register_module("norm1", group_norm(w.in_channels, w.groups))),
      norm2_(register_module("norm2", group_norm(w.out_channels, w.groups))),
      conv1_(register_module("conv1", same_conv(w.in_channels, w.out_channels))),
      conv2_(register_module("conv2", same_conv(w.out_channels, w.out_channels))) {
  if (w.in_channels != w.out_channels)
    conv_shortcut_ = register_module("conv_shortcut", Conv2d(Conv2dOptions(w.in_channels, w.out_channels, 1)));
}

at::Tensor ResnetBlock::forward(const at::Tensor& x) {
  const at::Tensor hidden = conv1_(at::silu(norm1_(x)));
  const at::Tensor residual = conv2_(at::silu(norm2_(hidden)));
  return (conv_shortcut_ ? conv_shortcut_(x) : x) + residual;
}

SpatialAttention::SpatialAttention(int64_t channels, int64_t groups)
    : group_norm_(register_module("group_norm", group_norm(channels, groups))),
      to_q_(register_module("to_q", torch::nn::Linear(channels, channels))),
      to_k_(register_module("to_k", torch::nn::Linear(channels, channels))),
      to_v_(register_module("to_v", torch::nn::Linear(channels, channels))),
      to_out_(register_module("to_out", torch::nn::ModuleList())) {
  to_out_->push_back(torch::nn::Linear(channels, channels));
}

at::Tensor SpatialAttention::forward(const at::Tensor& x) {
  const int64_t B = x.size(0), C = x.size(1), H = x.size(2), W = x.size(3);
  const at::Tensor normed_BTC = group_norm_(x).permute({0, 2, 3, 1}).reshape({B, H * W, C});
  const auto one_head = [](const at::Tensor& y_BTC) { return y_BTC.unsqueeze(1); };
  const at::Tensor mixed_BTC =
      at::scaled_dot_product_attention(one_head(to_q_(normed_BTC)), one_head(to_k_(normed_BTC)),
                                       one_head(to_v_(normed_BTC)))
          .squeeze(1);
  const at::Tensor out_BTC = to_out_->at<torch::nn::LinearImpl>(0).forward(mixed_BTC);
  return x + out_BTC.view({B, H, W, C}).permute({0, 3, 1, 2});
}

Downsample::Downsample(int64_t channels)
    : conv_(register_module("conv", Conv2d(Conv2dOptions(channels, channels, 3).stride(2)))) {}

at::Tensor Downsample::forward(const at::Tensor& x) { return conv_(at::constant_pad_nd(x, {0, 1, 0, 1})); }

Upsample::Upsample(int64_t channels) : conv_(register_module("conv", same_conv(channels, channels))) {}

at::Tensor Upsample::forward(const at::Tensor& x) {
  return conv_(at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)}));
}

LevelBlock::LevelBlock(const BlockWidths& w, int64_t layers, Resample resample)
    : resnets_(register_module("resnets", torch::nn::ModuleList())) {
  for (int64_t layer = 0; layer < layers; ++layer)
    resnets_->push_back(std::make_shared<ResnetBlock>(
        BlockWidths{layer == 0 ? w.in_channels : w.out_channels, w.out_channels, w.groups}));
  if (resample == Resample::down) {
    downsample_ = std::make_shared<Downsample>(w.out_channels);
    register_module("downsamplers", torch::nn::ModuleList())->push_back(downsample_);
  } else if (resample == Resample::up) {
    upsample_ = std::make_shared<Upsample>(w.out_channels);
    register_module("upsamplers", torch::nn::ModuleList())->push_back(upsample_);
  }
}

at::Tensor LevelBlock::forward(at::Tensor x) {
  for (size_t layer = 0; layer < resnets_->size(); ++layer) x = resnets_->at<ResnetBlock>(layer).forward(x);
  if (downsample_) return downsample_->forward(x);
  return upsample_ ? upsample_->forward(x) : x;
}

MidBlock::MidBlock(const MidBlockOptions& options) : resnets_(register_module("resnets", torch::nn::ModuleList())) {
  const BlockWidths same{options.channels, options.channels, options.groups};
  resnets_->push_back(std::make_shared<ResnetBlock>(same));
  resnets_->push_back(std::make_shared<ResnetBlock>(same));
  if (!options.attention) return;
  attentions_ = register_module("attentions", torch::nn::ModuleList());
  attentions_->push_back(std::make_shared<SpatialAttention>(options.channels, options.groups));
}

at::Tensor MidBlock::forward(const at::Tensor& x) {
  at::Tensor hidden = resnets_->at<ResnetBlock>(0).forward(x);
  if (!attentions_->is_empty()) hidden = attentions_->at<SpatialAttention>(0).forward(hidden);
  return resnets_->at<ResnetBlock>(1).forward(hidden);
}

}  // namespace polyphony::latent
