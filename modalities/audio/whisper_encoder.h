// SPDX-License-Identifier: Apache-2.0
// Whisper's audio encoder, with the tensor names of its published checkpoints.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

namespace polyphony::audio {

// Defaults are those of whisper-tiny. Names as in config.json, in comments where ours differ.
struct WhisperEncoderConfig {
  int64_t num_mels = 80;         // num_mel_bins
  int64_t dim = 384;             // d_model
  int64_t num_layers = 4;        // encoder_layers
  int64_t num_heads = 6;         // encoder_attention_heads
  int64_t ffn_dim = 1536;        // encoder_ffn_dim
  int64_t max_positions = 1500;  // max_source_positions
};

class WhisperEncoderLayer;

// Two convolutions (the second halves the frames), sinusoid positions kept as a weight, pre-norm attention layers.
// Parameters: conv1, conv2, embed_positions, layers.N.{self_attn.{k,v,q,out}_proj, self_attn_layer_norm, fc1, fc2,
// final_layer_norm}, layer_norm; k_proj has no bias. Source: Whisper (arXiv:2212.04356, section 2.2).
class WhisperEncoder : public torch::nn::Module {
 public:
  // Throws ConfigError.
  explicit WhisperEncoder(const WhisperEncoderConfig& config);

  // mel_BML: f32 (B, num_mels, L) from log_mel; L frames of 10 ms, at most 2 * max_positions.
  // Returns (B, (L + 1) / 2, dim), frames of 20 ms. Throws ShapeError.
  at::Tensor forward(const at::Tensor& mel_BML);

 private:
  WhisperEncoderConfig config_;
  torch::nn::Conv1d conv1_{nullptr}, conv2_{nullptr};
  torch::nn::Embedding embed_positions_{nullptr};
  torch::nn::ModuleList layers_;
  torch::nn::LayerNorm layer_norm_{nullptr};
};

}  // namespace polyphony::audio
