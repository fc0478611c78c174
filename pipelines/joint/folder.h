// SPDX-License-Identifier: Apache-2.0
// A joint model on disk: config.json, model.safetensors, tokenizer.model and the autoencoder in vae/.
#pragma once
#include <filesystem>
#include <memory>

#include "modalities/latent/autoencoder_io.h"
#include "modalities/text/tokenizer.h"
#include "pipelines/joint/model.h"

namespace polyphony::pipelines {

// Settings that ship with a model: what generate and eval use when nothing is asked for.
struct JointDefaults {
  int64_t steps = 12;
  double guidance = 2.0;
};

struct JointBundle {
  JointConfig config = {};
  JointDefaults defaults = {};
  std::vector<std::string> words = {};  // that it learnt beside those of the scenes' grammar, sorted
  std::shared_ptr<JointModel> model = {};
  std::shared_ptr<latent::AutoencoderKL> autoencoder = {};
  std::shared_ptr<text::Tokenizer> tokenizer = {};
};

inline constexpr const char* kJointModelType = "polyphony_joint";

// Writes a diffusers vae folder. `config` may differ from the module's own in what is measured after training (scaling,
// shift).
void save_autoencoder(latent::AutoencoderKL& autoencoder, const latent::AutoencoderConfig& config,
                      const std::filesystem::path& folder, at::ScalarType dtype = at::kFloat);

// Loads in f32 whatever the file's dtype, eval mode. Throws DataError or ConfigError naming file and field.
JointBundle load_joint(const std::filesystem::path& folder);

// Writes the folder; floating weights are stored as `dtype` (the autoencoder too).
void save_joint(const JointBundle& bundle, const std::filesystem::path& folder, at::ScalarType dtype = at::kBFloat16);

}  // namespace polyphony::pipelines
