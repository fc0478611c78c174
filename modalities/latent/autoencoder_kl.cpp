// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/autoencoder_kl.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::latent {
namespace {

using torch::nn::Conv2d;
using torch::nn::Conv2dOptions;
using torch::nn::ModuleList;

constexpr double kMinLogVariance = -30, kMaxLogVariance = 20;

Conv2d pointwise_conv(int64_t channels) { return Conv2d(Conv2dOptions(channels, channels, 1)); }

MidBlockOptions mid_options(const AutoencoderConfig& c) {
  return {.channels = c.block_out_channels.back(), .groups = c.norm_num_groups, .attention = c.mid_block_add_attention};
}

// (1, C, 1, 1) in the dtype of `like`.
at::Tensor per_channel(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(values, at::kDouble).to(like.options()).view({1, -1, 1, 1});
}

}  // namespace

at::Tensor sample_latent(const Moments& moments, const std::optional<at::Generator>& generator) {
  const at::Tensor noise = at::randn(moments.mean.sizes(), generator, moments.mean.options());
  return moments.mean + (0.5 * moments.logvar).exp() * noise;
}

at::Tensor kl_loss(const Moments& moments) {
  const at::Tensor mean = moments.mean.to(at::kFloat), logvar = moments.logvar.to(at::kFloat);
  return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum({1, 2, 3}).mean();
}

VaeEncoder::VaeEncoder(const AutoencoderConfig& c)
    : conv_in_(register_module("conv_in", same_conv(c.in_channels, c.block_out_channels.front()))),
      down_blocks_(register_module("down_blocks", ModuleList())),
      mid_block_(register_module("mid_block", std::make_shared<MidBlock>(mid_options(c)))),
      conv_norm_out_(register_module("conv_norm_out", group_norm(c.block_out_channels.back(), c.norm_num_groups))),
      conv_out_(register_module("conv_out", same_conv(c.block_out_channels.back(), 2 * c.latent_channels))) {
  int64_t width = c.block_out_channels.front();
  for (size_t level = 0; level < c.block_out_channels.size(); ++level) {
    const bool last = level + 1 == c.block_out_channels.size();
    down_blocks_->push_back(
        std::make_shared<LevelBlock>(BlockWidths{width, c.block_out_channels[level], c.norm_num_groups},
                                     c.layers_per_block, last ? Resample::none : Resample::down));
    width = c.block_out_channels[level];
  }
}

at::Tensor VaeEncoder::forward(const at::Tensor& pixels) {
  at::Tensor x = conv_in_(pixels);
  for (size_t level = 0; level < down_blocks_->size(); ++level) x = down_blocks_->at<LevelBlock>(level).forward(x);
  return conv_out_(at::silu(conv_norm_out_(mid_block_->forward(x))));
}

VaeDecoder::VaeDecoder(const AutoencoderConfig& c)
    : conv_in_(register_module("conv_in", same_conv(c.latent_channels, c.block_out_channels.back()))),
      mid_block_(register_module("mid_block", std::make_shared<MidBlock>(mid_options(c)))),
      up_blocks_(register_module("up_blocks", ModuleList())),
      conv_norm_out_(register_module("conv_norm_out", group_norm(c.block_out_channels.front(), c.norm_num_groups))),
      conv_out_(register_module("conv_out", same_conv(c.block_out_channels.front(), c.out_channels))) {
  int64_t width = c.block_out_channels.back();
  for (size_t level = c.block_out_channels.size(); level-- > 0;) {
    up_blocks_->push_back(
        std::make_shared<LevelBlock>(BlockWidths{width, c.block_out_channels[level], c.norm_num_groups},
                                     c.layers_per_block + 1, level == 0 ? Resample::none : Resample::up));
    width = c.block_out_channels[level];
  }
}

at::Tensor VaeDecoder::forward(const at::Tensor& z) {
  at::Tensor x = mid_block_->forward(conv_in_(z));
  for (size_t level = 0; level < up_blocks_->size(); ++level) x = up_blocks_->at<LevelBlock>(level).forward(x);
  return conv_out_(at::silu(conv_norm_out_(x)));
}

AutoencoderKL::AutoencoderKL(const AutoencoderConfig& config) : config_(config) {
  check_autoencoder_config(config);
  encoder_ = register_module("encoder", std::make_shared<VaeEncoder>(config));
  decoder_ = register_module("decoder", std::make_shared<VaeDecoder>(config));
  if (config.use_quant_conv) quant_conv_ = register_module("quant_conv", pointwise_conv(2 * config.latent_channels));
  if (config.use_post_quant_conv)
    post_quant_conv_ = register_module("post_quant_conv", pointwise_conv(config.latent_channels));
}

void AutoencoderKL::check_map(const char* where, const at::Tensor& x, int64_t channels) const {
  check<ShapeError>(x.defined() && x.dim() == 4 && x.size(1) == channels && x.numel() > 0, where, " expected (B, ",
                    channels, ", H, W), got ", x.defined() ? join(x.sizes()) : "an undefined tensor");
  const auto weight = parameters().front();
  check<ShapeError>(x.scalar_type() == weight.scalar_type() && x.device() == weight.device(), where, " expected ",
                    weight.scalar_type(), " on ", weight.device(), " like the weights, got ", x.scalar_type(), " on ",
                    x.device());
}

Moments AutoencoderKL::encode(const at::Tensor& pixels) {
  constexpr auto where = "[autoencoder_kl.encode]";
  check_map(where, pixels, config_.in_channels);
  const int64_t side = config_.downscale();
  check<ShapeError>(pixels.size(2) % side == 0 && pixels.size(3) % side == 0, where,
                    " height and width must be multiples of ", side, ", got ", pixels.size(2), " x ", pixels.size(3));
  at::Tensor moments = encoder_->forward(pixels);
  if (quant_conv_) moments = quant_conv_(moments);
  const auto halves = moments.chunk(2, 1);
  return {.mean = halves[0], .logvar = halves[1].clamp(kMinLogVariance, kMaxLogVariance)};
}

at::Tensor AutoencoderKL::decode(const at::Tensor& z) {
  check_map("[autoencoder_kl.decode]", z, config_.latent_channels);
  return decoder_->forward(post_quant_conv_ ? post_quant_conv_(z) : z);
}

at::Tensor AutoencoderKL::to_latent(const at::Tensor& z) const {
  if (config_.latents_mean.empty()) return (z - config_.shift_factor) * config_.scaling_factor;
  return (z - per_channel(config_.latents_mean, z)) * config_.scaling_factor / per_channel(config_.latents_std, z);
}

at::Tensor AutoencoderKL::from_latent(const at::Tensor& latent) const {
  if (config_.latents_mean.empty()) return latent / config_.scaling_factor + config_.shift_factor;
  return latent * per_channel(config_.latents_std, latent) / config_.scaling_factor +
         per_channel(config_.latents_mean, latent);
}

void AutoencoderKL::use_channels_last() {
  at::NoGradGuard no_grad;
  for (at::Tensor& parameter : parameters())
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
}

}  // namespace polyphony::latent
