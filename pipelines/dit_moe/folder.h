// SPDX-License-Identifier: Apache-2.0
// A DiT-MoE on disk: config.json and weights under the published tensor names.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pipelines/dit_moe/model.h"

namespace polyphony::pipelines {

struct LoadedDitMoe {
  std::shared_ptr<DitMoe> model;  // in evaluation mode
  std::vector<std::string> warnings = {};
};

// Reads a folder with config.json and model.safetensors (or diffusion_pytorch_model.safetensors, or a sharded form), or
// a diffusers folder with these in transformer/. A config that does not name its attention takes it from the tensor
// names. The stored pos_embed is used where there is one. `dtype`: kFloat or kBFloat16, of weights and activations.
// Throws DataError for files that are missing or contradict one another, before anything large is allocated.
LoadedDitMoe load_dit_moe(const std::filesystem::path& folder, at::ScalarType dtype = at::kFloat);

// The names of the weights file and of the class in config.json: those of a flat folder of ours, or of a transformer/.
enum class DitMoeLayout : uint8_t { flat, diffusers };

// Writes config.json and the weights into a folder that is made if need be. Throws Error.
void save_dit_moe(const DitMoe& model, const std::filesystem::path& folder, DitMoeLayout layout = DitMoeLayout::flat);

}  // namespace polyphony::pipelines
