// SPDX-License-Identifier: Apache-2.0
// An AutoencoderKL on disk: a diffusers vae/ folder of config.json and diffusion_pytorch_model.safetensors.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor_io.h"
#include "modalities/latent/autoencoder_kl.h"

namespace polyphony::latent {

struct LoadedAutoencoder {
  std::shared_ptr<AutoencoderKL> model;  // f32, in evaluation mode
  std::vector<std::string> warnings;     // of config.json
};

// Old attention names and the original latent diffusion names (ldm_names.h) are understood. Throws DataError for a
// missing or wrong file, and for weights that do not fit config.json.
LoadedAutoencoder load_autoencoder(const std::filesystem::path& folder);

// Writes both files into an existing folder; diffusers reads them back. Throws Error.
void save_autoencoder(const AutoencoderKL& model, const std::filesystem::path& folder);

// Renames what older diffusers versions wrote (attentions.0.query, key, value, proj_attn) and, for a model of `levels`
// levels, the original latent diffusion names; turns the 1x1 convolutions of attention into matrices. Other tensors
// stay as they are. Throws DataError for a tensor that is there under two names.
TensorMap with_current_names(TensorMap tensors, int64_t levels);

}  // namespace polyphony::latent
