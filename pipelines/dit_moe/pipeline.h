// SPDX-License-Identifier: Apache-2.0
// A DiT-MoE with all that sampling pictures takes: the mode that it was trained in, its autoencoder, its class names.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "modalities/latent/bf16_decoder.h"
#include "pipelines/dit_moe/model.h"

namespace polyphony::pipelines {

inline constexpr const char* kDitMoePipelineName = "DiTMoEPipeline";  // _class_name of a model_index.json

struct DitMoePipeline {
  std::shared_ptr<DitMoe> model;                            // in evaluation mode
  std::optional<DitMoeMode> mode = {};                      // none: a flat folder names no mode
  std::shared_ptr<latent::AutoencoderKL> autoencoder = {};  // null: none; f32, in evaluation mode
  std::shared_ptr<const latent::Bf16Decoder> decoder = {};  // decodes in the autoencoder's place; null: none
  bool pixels = false;                                      // the model draws pixels in [-1, 1] by itself
  std::map<int64_t, std::string> labels = {};               // names of classes, synonyms separated by commas
  std::vector<std::string> warnings = {};

  bool draws_pictures() const { return pixels || autoencoder; }
  // Pixels a side of a picture; 0 where the model gives latents only.
  int64_t picture_size() const;
};

// Reads a flat folder (config.json and weights), or a diffusers folder: model_index.json, transformer/, and where the
// index names them vae/ and scheduler/. The scheduler's class tells the mode. `dtype` is that of the transformer and,
// where it is kBFloat16, of decoding.
// Throws DataError for files that are missing or contradict one another.
DitMoePipeline load_dit_moe_pipeline(const std::filesystem::path& folder, at::ScalarType dtype = at::kFloat);

// Writes a diffusers folder, which is made if need be. Throws Error; ConfigError where the mode is missing.
void save_dit_moe_pipeline(const DitMoePipeline& pipeline, const std::filesystem::path& folder);

// id2label of a model_index.json: an object of class numbers and their names. Throws DataError naming `source`.
std::map<int64_t, std::string> read_labels(const nlohmann::json& id2label, int64_t num_classes,
                                           const std::string& source);

// Throws DataError where the autoencoder's latents are not those of the model. `where` starts the message.
void check_autoencoder(const DitMoeConfig& model, const latent::AutoencoderConfig& autoencoder,
                       const std::string& where);

// Latents (N, C, H, W) as the model gives them -> pixels f32 (N, 3, picture_size, picture_size), not clamped, without
// gradients. Throws ConfigError for a pipeline that draws no pictures.
at::Tensor pixels_of(const DitMoePipeline& pipeline, const at::Tensor& latents);

// The class that `label` names: a number, or one of the names of `labels` (letter case does not matter).
// Throws UsageError with the classes that there are.
int64_t find_class(const DitMoePipeline& pipeline, const std::string& label);

}  // namespace polyphony::pipelines
