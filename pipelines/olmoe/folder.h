// SPDX-License-Identifier: Apache-2.0
// A model folder as Hugging Face writes it: config.json and model.safetensors, or its shards with their index.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "pipelines/olmoe/model.h"

namespace polyphony::pipelines {

struct LoadedOlmoe {
  OlmoeModel model;
  std::vector<std::string> warnings = {};
};

// `dtype`: kFloat or kBFloat16, of the weights and of attention. All names and shapes are checked, and the memory that
// the model takes is asked for, before any weight is read; then one tensor is read at a time.
// Throws DataError for files that are missing or contradict one another, MemoryError, ConfigError for the dtype.
LoadedOlmoe load_olmoe(const std::filesystem::path& folder, at::ScalarType dtype = at::kFloat);

// kBFloat16 where the embedding is stored in 16 bits, otherwise kFloat. Throws DataError.
at::ScalarType stored_dtype(const std::filesystem::path& folder);

struct SaveOlmoeOptions {
  uint64_t one_file_bytes = uint64_t{5} << 30;  // a larger model is written as one shard a layer, and one for the ends
};
// Writes config.json and the weights in their own dtypes into a folder that is made if need be. Throws Error.
void save_olmoe(const OlmoeModel& model, const std::filesystem::path& folder, const SaveOlmoeOptions& options = {});

}  // namespace polyphony::pipelines
