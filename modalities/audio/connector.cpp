// SPDX-License-Identifier: Apache-2.0
#include "modalities/audio/connector.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::audio {

AudioConnector::AudioConnector(const AudioConnectorConfig& config) : config_(config) {
  check<ConfigError>(config.frame_dim >= 1 && config.stack >= 1 && config.hidden >= 1 && config.dim >= 1,
                     "[audio_connector] expected sizes of at least 1, got frame_dim ", config.frame_dim, ", stack ",
                     config.stack, ", hidden ", config.hidden, ", dim ", config.dim);
  stack_to_hidden_ =
      register_module("stack_to_hidden", torch::nn::Linear(config.frame_dim * config.stack, config.hidden));
  hidden_to_token_ = register_module("hidden_to_token", torch::nn::Linear(config.hidden, config.dim));
}

TokenSequence AudioConnector::forward(const at::Tensor& frames_BLD, const std::vector<int64_t>& num_frames_B) {
  check<ShapeError>(frames_BLD.dim() == 3 && frames_BLD.size(2) == config_.frame_dim && frames_BLD.is_floating_point(),
                    "[audio_connector] frames must be float (B, L, ", config_.frame_dim, "), got ", frames_BLD.sizes());
  const int64_t B = frames_BLD.size(0), L = frames_BLD.size(1);
  check<ShapeError>(num_frames_B.empty() || static_cast<int64_t>(num_frames_B.size()) == B,
                    "[audio_connector] expected ", B, " frame counts, got ", num_frames_B.size());
  TokenSequence out;
  std::vector<at::Tensor> stacks = {frames_BLD.new_zeros({0, config_.stack * config_.frame_dim})};
  std::vector<at::Tensor> indices = {at::empty({0}, frames_BLD.options().dtype(at::kLong))};
  for (int64_t b = 0; b < B; ++b) {
    const int64_t frames = num_frames_B.empty() ? L : num_frames_B[static_cast<size_t>(b)];
    check<ShapeError>(frames >= 0 && frames <= L, "[audio_connector] expected 0 to ", L, " frames, got ", frames);
    const int64_t tokens = (frames + config_.stack - 1) / config_.stack;
    const at::Tensor padded_LD =
        at::constant_pad_nd(frames_BLD[b].slice(0, 0, frames), {0, 0, 0, tokens * config_.stack - frames});
    stacks.push_back(padded_LD.reshape({tokens, config_.stack * config_.frame_dim}));
    indices.push_back(at::arange(tokens, indices.front().options()));
    out.sample_offsets.push_back(out.sample_offsets.back() + tokens);
  }
  out.token_id_T = at::cat(indices);
  out.tokens_TD = hidden_to_token_->forward(at::silu(stack_to_hidden_->forward(at::cat(stacks))));
  out.modality_T = at::full_like(out.token_id_T, static_cast<int64_t>(Modality::audio), at::kByte);
  out.span_T = at::zeros_like(out.token_id_T);
  const at::Tensor zero_T = at::zeros_like(out.token_id_T);
  out.position_TA = at::stack({out.token_id_T, zero_T, zero_T}, 1).to(at::kFloat);
  return out;
}

}  // namespace polyphony::audio
