// SPDX-License-Identifier: Apache-2.0
#include "core/tensor_shards.h"

#include <ATen/ATen.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/check.h"

namespace polyphony {

ShardWriter::ShardWriter(std::filesystem::path folder, int64_t num_shards)
    : folder_(std::move(folder)), num_shards_(num_shards) {}

void ShardWriter::add(const TensorMap& tensors) {
  check<ShapeError>(written_ < num_shards_, "[shards] expected ", num_shards_, " shards, got one more");
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05lld-of-%05lld.safetensors", static_cast<long long>(++written_),
                static_cast<long long>(num_shards_));
  save_tensors(folder_ / name, tensors, {{"format", "pt"}});
  for (const auto& [key, tensor] : tensors) {
    shard_of_[key] = name;
    bytes_ += tensor.nbytes();
  }
}

void ShardWriter::finish() const {
  check<ShapeError>(written_ == num_shards_, "[shards] expected ", num_shards_, " shards, got ", written_);
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", bytes_}}}, {"weight_map", shard_of_}};
  write_file_atomic(folder_ / "model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace polyphony
