// SPDX-License-Identifier: Apache-2.0
// A model written as several safetensors files with an index, one file after another.
// Source: Hugging Face transformers, "Sharded checkpoints".
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "core/tensor_io.h"

namespace polyphony {

// Writes model-00001-of-0000N.safetensors and so on; finish() writes model.safetensors.index.json, without which the
// files are no model. Every call throws Error when the disk refuses.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path folder, int64_t num_shards);
  void add(const TensorMap& tensors);
  void finish() const;

 private:
  std::filesystem::path folder_;
  int64_t num_shards_ = 0, written_ = 0;
  uint64_t bytes_ = 0;
  std::map<std::string, std::string> shard_of_;
};

}  // namespace polyphony
