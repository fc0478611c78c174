// SPDX-License-Identifier: Apache-2.0
#include "modalities/audio/whisper_encoder.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/check.h"

namespace polyphony::audio {

namespace {

constexpr double kLongestPeriod = 10'000.0;

// f32 (length, dim): sines in the first half of a row, cosines in the second.
at::Tensor sinusoids(int64_t length, int64_t dim) {
  const int64_t half = dim / 2;
  const double step = std::log(kLongestPeriod) / static_cast<double>(std::max<int64_t>(half - 1, 1));
  const at::Tensor rate = at::exp(at::arange(half, at::kFloat) * -step);
  const at::Tensor angle = at::arange(length, at::kFloat).unsqueeze(1) * rate;
  return at::cat({angle.sin(), angle.cos()}, 1);
}

class SelfAttention : public torch::nn::Module {
 public:
  SelfAttention(int64_t dim, int64_t num_heads) : num_heads_(num_heads) {
    k_proj_ = register_module("k_proj", torch::nn::Linear(torch::nn::LinearOptions(dim, dim).bias(false)));
    v_proj_ = register_module("v_proj", torch::nn::Linear(dim, dim));
    q_proj_ = register_module("q_proj", torch::nn::Linear(dim, dim));
    out_proj_ = register_module("out_proj", torch::nn::Linear(dim, dim));
  }

  at::Tensor forward(const at::Tensor& x_BLD) {
    const auto heads = [&](torch::nn::Linear& map) {
      return map->forward(x_BLD).unflatten(-1, {num_heads_, -1}).transpose(1, 2);
    };
    const at::Tensor mixed = at::scaled_dot_product_attention(heads(q_proj_), heads(k_proj_), heads(v_proj_));
    return out_proj_->forward(mixed.transpose(1, 2).flatten(2));
  }

 private:
  int64_t num_heads_;
  torch::nn::Linear k_proj_{nullptr}, v_proj_{nullptr}, q_proj_{nullptr}, out_proj_{nullptr};
};

torch::nn::LayerNorm make_norm(int64_t dim) { return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim})); }

}  // namespace

class WhisperEncoderLayer : public torch::nn::Module {
 public:
  explicit WhisperEncoderLayer(const WhisperEncoderConfig& config) {
    self_attn_ = register_module("self_attn", std::make_shared<SelfAttention>(config.dim, config.num_heads));
    self_attn_layer_norm_ = register_module("self_attn_layer_norm", make_norm(config.dim));
    fc1_ = register_module("fc1", torch::nn::Linear(config.dim, config.ffn_dim));
    fc2_ = register_module("fc2", torch::nn::Linear(config.ffn_dim, config.dim));
    final_layer_norm_ = register_module("final_layer_norm", make_norm(config.dim));
  }

  at::Tensor forward(const at::Tensor& x_BLD) {
    const at::Tensor mixed = x_BLD + self_attn_->forward(self_attn_layer_norm_->forward(x_BLD));
    return mixed + fc2_->forward(at::gelu(fc1_->forward(final_layer_norm_->forward(mixed))));
  }

 private:
  std::shared_ptr<SelfAttention> self_attn_;
  torch::nn::LayerNorm self_attn_layer_norm_{nullptr}, final_layer_norm_{nullptr};
  torch::nn::Linear fc1_{nullptr}, fc2_{nullptr};
};

WhisperEncoder::WhisperEncoder(const WhisperEncoderConfig& config) : config_(config) {
  check<ConfigError>(config.num_mels >= 1 && config.num_layers >= 0 && config.ffn_dim >= 1 && config.max_positions >= 1,
                     "[whisper_encoder] expected positive sizes");
  check<ConfigError>(
      config.num_heads >= 1 && config.dim >= 2 && config.dim % 2 == 0 && config.dim % config.num_heads == 0,
      "[whisper_encoder] expected an even width divisible by the heads, got d_model ", config.dim, " with ",
      config.num_heads, " heads");
  const auto convolution = [](int64_t in, int64_t out, int64_t stride) {
    return torch::nn::Conv1d(torch::nn::Conv1dOptions(in, out, 3).stride(stride).padding(1));
  };
  conv1_ = register_module("conv1", convolution(config.num_mels, config.dim, 1));
  conv2_ = register_module("conv2", convolution(config.dim, config.dim, 2));
  embed_positions_ = register_module("embed_positions",
                                     torch::nn::Embedding(torch::nn::EmbeddingOptions(config.max_positions, config.dim)
                                                              ._weight(sinusoids(config.max_positions, config.dim))));
  embed_positions_->weight.set_requires_grad(false);
  layers_ = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < config.num_layers; ++i) layers_->push_back(std::make_shared<WhisperEncoderLayer>(config));
  layer_norm_ = register_module("layer_norm", make_norm(config.dim));
}

at::Tensor WhisperEncoder::forward(const at::Tensor& mel_BML) {
  check<ShapeError>(mel_BML.dim() == 3 && mel_BML.size(1) == config_.num_mels && mel_BML.size(2) >= 1 &&
                        mel_BML.size(2) <= 2 * config_.max_positions,
                    "[whisper_encoder] mel must be (B, ", config_.num_mels, ", 1..", 2 * config_.max_positions,
                    "), got ", mel_BML.sizes());
  const at::Tensor frames_BDL = at::gelu(conv2_->forward(at::gelu(conv1_->forward(mel_BML))));
  at::Tensor x_BLD = frames_BDL.transpose(1, 2);
  x_BLD = x_BLD + embed_positions_->weight.slice(0, 0, x_BLD.size(1));
  for (const auto& layer : *layers_) x_BLD = layer->as<WhisperEncoderLayer>()->forward(x_BLD);
  return layer_norm_->forward(x_BLD);
}

}  // namespace polyphony::audio
