// SPDX-License-Identifier: Apache-2.0
// Encoder frames -> tokens of the audio modality.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <vector>

#include "core/token_sequence.h"

namespace polyphony::audio {

struct AudioConnectorConfig {
  int64_t frame_dim = 384;  // the encoder's width
  int64_t stack = 4;        // frames that become one token
  int64_t hidden = 512;
  int64_t dim = 256;  // D, the trunk's width
};

// Stacks neighbouring frames, then Linear -> SiLU -> Linear. Source: the frame-stacking projector of SLAM-ASR
// (arXiv:2402.08846, section 2), with SiLU.
class AudioConnector : public torch::nn::Module {
 public:
  // Throws ConfigError.
  explicit AudioConnector(const AudioConnectorConfig& config);

  // frames_BLD: float (B, L, frame_dim). num_frames_B: how many frames of each sample are sound, at most L; empty means
  // all of them. The last stack of a sample is filled with zeros.
  // Returns B samples of ceil(frames / stack) tokens; one span a sound, token_id the token's index, position (index, 0,
  // 0). Throws ShapeError.
  TokenSequence forward(const at::Tensor& frames_BLD, const std::vector<int64_t>& num_frames_B = {});

 private:
  AudioConnectorConfig config_;
  torch::nn::Linear stack_to_hidden_{nullptr}, hidden_to_token_{nullptr};
};

}  // namespace polyphony::audio
