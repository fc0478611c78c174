// SPDX-License-Identifier: Apache-2.0
// Sharded safetensors.
#include "core/formats/safetensors_index.h"

#include <array>
#include <utility>

#include "core/check.h"
#include "core/formats/strict_json.h"

namespace polyphony::formats {
namespace {

constexpr uint64_t kMaxIndexBytes = 100'000'000;
constexpr std::string_view kIndexSuffix = ".index.json";
constexpr std::array<std::string_view, 3> kStems = {"model", "diffusion_pytorch_model", "adapter_model"};

std::string shown(const std::filesystem::path& path) { return printable(path.native(), 400); }

}  // namespace

SafetensorsIndex parse_safetensors_index(std::string_view json, std::string_view where) {
  const nlohmann::json root = parse_strict_json(json, where);
  check<DataError>(root.is_object() && root.contains("weight_map") && root["weight_map"].is_object(), "[", where,
                   "] expected an object with an object 'weight_map'");
  SafetensorsIndex index;
  for (const auto& [name, shard] : root["weight_map"].items()) {
    check<DataError>(shard.is_string(), "[", where, "] tensor '", printable(name), "': expected a file name, got ",
                     shard.type_name());
    const auto& file = shard.get_ref<const std::string&>();
    check<DataError>(is_plain_file_name(file), "[", where, "] tensor '", printable(name),
                     "': expected a file name without a path, got '", printable(file), "'");
    index.shard_of.emplace(name, file);
  }
  if (root.contains("metadata") && root["metadata"].is_object()) {
    const auto& metadata = root["metadata"];
    if (metadata.contains("total_size") && metadata["total_size"].is_number_unsigned()) {
      index.total_size = metadata["total_size"].get<uint64_t>();
    }
  }
  return index;
}

void SafetensorsSet::add_file(SafetensorsFile file) {
  for (const std::string& warning : file.warnings()) warnings_.push_back("[" + shown(file.path()) + "] " + warning);
  for (const TensorInfo& tensor : file.tensors()) {
    const auto [at, is_new] = entries_.try_emplace(tensor.name, Entry{files_.size(), tensor});
    check<DataError>(is_new, "[", shown(file.path()), "] tensor '", printable(tensor.name), "' is also in ",
                     is_new ? "" : shown(files_[at->second.file].path()));
  }
  files_.push_back(std::move(file));
}

void SafetensorsSet::add_shards(const std::filesystem::path& index_path, const SafetensorsLimits& limits) {
  const std::string where = shown(index_path);
  const SafetensorsIndex index = parse_safetensors_index(read_file(index_path, kMaxIndexBytes), where);
  std::map<std::string, size_t> file_of_shard;
  for (const auto& [name, shard] : index.shard_of) {
    if (file_of_shard.contains(shard)) continue;
    file_of_shard[shard] = files_.size();
    add_file(SafetensorsFile::open(index_path.parent_path() / shard, limits));
  }
  for (const auto& [name, shard] : index.shard_of) {
    const auto entry = entries_.find(name);
    check<DataError>(entry != entries_.end() && entry->second.file == file_of_shard[shard], "[", where, "] tensor '",
                     printable(name), "': expected it in ", printable(shard), ", but it is ",
                     entry == entries_.end() ? "in none of the files" : "in another file");
  }
  uint64_t total_size = 0;
  for (const auto& [name, entry] : entries_) {
    total_size += entry.tensor.num_bytes();
    if (!index.shard_of.contains(name)) {
      warnings_.push_back(join("[", where, "] tensor '", printable(name), "' is in a file but not in weight_map"));
    }
  }
  if (index.total_size && *index.total_size != total_size) {
    warnings_.push_back(
        join("[", where, "] total_size is ", *index.total_size, ", but the tensors have ", total_size, " bytes"));
  }
}

SafetensorsSet SafetensorsSet::open(const std::filesystem::path& path, const SafetensorsLimits& limits) {
  std::error_code missing;
  const auto weights = std::filesystem::is_directory(path, missing) ? find_weights(path) : path;
  SafetensorsSet set;
  if (weights.native().ends_with(kIndexSuffix)) {
    set.add_shards(weights, limits);
  } else {
    set.add_file(SafetensorsFile::open(weights, limits));
  }
  return set;
}

const std::map<std::string, std::string>& SafetensorsSet::metadata() const {
  for (const SafetensorsFile& file : files_) {
    if (!file.metadata().empty()) return file.metadata();
  }
  static const std::map<std::string, std::string> kNone;
  return kNone;
}

std::filesystem::path find_weights(const std::filesystem::path& folder) {
  std::string looked_for;
  for (const std::string_view stem : kStems) {
    for (const std::string_view suffix : {std::string_view{}, kIndexSuffix}) {
      const std::string name = join(stem, ".safetensors", suffix);
      std::error_code missing;
      if (std::filesystem::exists(folder / name, missing)) return folder / name;
      looked_for += (looked_for.empty() ? "" : ", ") + name;
    }
  }
  fail<DataError>("[", shown(folder), "] expected a folder with one of ", looked_for);
}

}  // namespace polyphony::formats
