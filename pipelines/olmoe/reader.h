// SPDX-License-Identifier: Apache-2.0
// A model folder as Hugging Face writes it, read piece by piece: config.json and model.safetensors, or its shards with
// their index.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/formats/safetensors_index.h"
#include "pipelines/olmoe/model.h"

namespace polyphony::pipelines {

// Names and shapes are checked first. `dtype` is that of the weights in memory where they are plain.
class OlmoeReader {
 public:
  // Throws DataError for files that are missing or contradict one another.
  OlmoeReader(
      const std::filesystem::path& folder);  // NOLINT(google-explicit-constructor): a folder stands for its reader

  const OlmoeConfig& config() const { return parsed_.config; }
  const std::vector<std::string>& warnings() const { return parsed_.warnings; }
  // bf16 where the weights are stored in 16 bits, otherwise f32.
  at::ScalarType stored_dtype() const;
  uint64_t stored_bytes() const;
  OlmoeModel ends(at::ScalarType dtype) const;  // a model without layers
  OlmoeLayer layer(int64_t index, at::ScalarType dtype) const;
  // The layer's norms and gate alone; its matrices are undefined.
  OlmoeLayer layer_without_matrices(int64_t index) const;
  const std::filesystem::path& folder() const { return folder_; }
  // 64 hex digits over each weights file's name, size, time of change and header: other weights give others.
  std::string fingerprint() const;

 private:
  void read(const std::map<std::string, at::Tensor>& targets) const;
  std::filesystem::path folder_;
  ParsedOlmoeConfig parsed_;
  formats::SafetensorsSet weights_;
};

// The format that the weights are stored in: quantised, bf16 for those of 16 bits, nothing for f32.
std::optional<ops::WeightFormat> stored_format(const OlmoeReader& reader);

}  // namespace polyphony::pipelines
