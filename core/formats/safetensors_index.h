// SPDX-License-Identifier: Apache-2.0
// Models split over several safetensors files, and the one way to open a file, an index or a model folder.
// Source: Hugging Face transformers, "Sharded checkpoints" (model.safetensors.index.json).
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/formats/safetensors.h"

namespace polyphony::formats {

struct SafetensorsIndex {
  std::map<std::string, std::string> shard_of;  // "weight_map": tensor name -> plain file name in the index's folder
  std::optional<uint64_t> total_size;           // bytes of all tensors, if stated
};

// Throws DataError: not JSON, no weight_map, or a shard name with a path in it.
SafetensorsIndex parse_safetensors_index(std::string_view json, std::string_view where);

// All tensors of a model on disk, whatever its files are.
class SafetensorsSet {
 public:
  struct Entry {
    size_t file = 0;  // index into files()
    TensorInfo tensor;
  };

  // `path` is a .safetensors file, a .safetensors.index.json, or a folder that holds `model`,
  // `diffusion_pytorch_model` or `adapter_model` as either. Throws DataError naming the missing or wrong file.
  static SafetensorsSet open(const std::filesystem::path& path, const SafetensorsLimits& limits = {});

  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  const std::vector<SafetensorsFile>& files() const { return files_; }
  // Of the first file that has some.
  const std::map<std::string, std::string>& metadata() const;
  const std::vector<std::string>& warnings() const { return warnings_; }
  void read(const Entry& entry, std::span<std::byte> out) const { files_[entry.file].read(entry.tensor, out); }

 private:
  void add_file(SafetensorsFile file);
  void add_shards(const std::filesystem::path& index_path, const SafetensorsLimits& limits);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<std::string> warnings_;
};

// Where the weights of a model folder are: the file or index that SafetensorsSet::open would take. Throws DataError
// listing the names looked for.
std::filesystem::path find_weights(const std::filesystem::path& folder);

}  // namespace polyphony::formats
