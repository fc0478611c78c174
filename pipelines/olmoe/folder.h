// SPDX-License-Identifier: Apache-2.0
// A model folder as Hugging Face writes it: config.json and model.safetensors, or its shards with their index.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/olmoe/reader.h"

namespace polyphony::pipelines {

struct LoadedOlmoe {
  OlmoeModel model;
  std::vector<std::string> warnings = {};
};

// FOLDER/packed_int8.bin and so on: the weights as the kernels read them.
std::filesystem::path packed_file(const std::filesystem::path& folder, ops::WeightFormat format);

struct LoadOlmoeOptions {
  bool keep_packed = false;  // write packed_file; one that is there is used, and made anew where it does not fit
};
// `format`: weights packed in it, and attention in bf16; nothing: plain weights and attention in f32. A folder of
// quantised weights is loaded in its own format, or plain. The memory that the model takes is asked for before any
// weight is read; then one layer is read at a time. Throws MemoryError, UsageError for a format that the folder's
// weights cannot take.
LoadedOlmoe load_olmoe(const OlmoeReader& reader, std::optional<ops::WeightFormat> format = {},
                       const LoadOlmoeOptions& options = {});

// The matrices of a layer packed in `format` (quantised ones in their own), or plain.
void to_state(OlmoeLayer& layer, std::optional<ops::WeightFormat> format);
void to_state(nn::Weights& weights, std::optional<ops::WeightFormat> format, bool bank, bool gated = false);

struct SaveOlmoeOptions {
  uint64_t one_file_bytes = uint64_t{5} << 30;  // a larger model is written as one shard a layer, and one for the ends
};
// Writes config.json and the weights, plain or quantised, in their own dtypes into a folder that is made if need be.
// Throws Error.
void save_olmoe(const OlmoeModel& model, const std::filesystem::path& folder, const SaveOlmoeOptions& options = {});

}  // namespace polyphony::pipelines
