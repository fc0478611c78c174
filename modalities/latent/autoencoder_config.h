// SPDX-License-Identifier: Apache-2.0
// The shape of an AutoencoderKL, as a diffusers vae/config.json describes it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polyphony::latent {

// Field names, meanings and defaults are those of diffusers' AutoencoderKL. A latent z becomes (z - shift) * scale.
struct AutoencoderConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t latent_channels = 4;
  std::vector<int64_t> block_out_channels = {64};  // one entry a level; each level but the last halves the resolution
  int64_t layers_per_block = 1;
  int64_t norm_num_groups = 32;
  int64_t sample_size = 32;  // pixels a side that the model was trained at
  double scaling_factor = 0.18215;
  double shift_factor = 0;             // null in the file
  std::vector<double> latents_mean{};  // empty: none; otherwise one value a latent channel
  std::vector<double> latents_std{};
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  bool mid_block_add_attention = true;

  // Pixels a latent covers on each side.
  int64_t downscale() const { return int64_t{1} << (block_out_channels.size() - 1); }
  bool operator==(const AutoencoderConfig&) const = default;
};

// Throws ConfigError naming the field whose value no model can have.
void check_autoencoder_config(const AutoencoderConfig& config);

struct ParsedAutoencoderConfig {
  AutoencoderConfig config;
  std::vector<std::string> warnings;  // keys that were not understood, one sentence each
};

// Reads the text of a vae/config.json. Missing keys take diffusers' defaults; null stands for the default only where
// diffusers allows it. Block types other than DownEncoderBlock2D and UpDecoderBlock2D, and activations other than silu,
// are refused. `source` names the file in messages. Throws DataError naming the field.
ParsedAutoencoderConfig parse_autoencoder_config(std::string_view json_text, const std::string& source);

// The text of a config.json that diffusers reads back as the same model.
std::string autoencoder_config_json(const AutoencoderConfig& config);

}  // namespace polyphony::latent
