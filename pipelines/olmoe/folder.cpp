// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/folder.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/memory.h"
#include "core/check.h"
#include "core/formats/safetensors_index.h"
#include "core/formats/strict_json.h"
#include "core/tensor_files.h"
#include "core/tensor_shards.h"
#include "pipelines/olmoe/published.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;

// All that the file holds: with nothing to read, to compare names and shapes.
TensorOffer all_shapes(const formats::SafetensorsSet& weights) {
  TensorOffer offer;
  for (const auto& [name, entry] : weights.entries()) {
    const auto dtype = to_tensor_dtype(entry.tensor.dtype);
    offer[name] = {entry.tensor.shape, dtype, [&shape = entry.tensor.shape, dtype] {
                     return at::empty(shape, at::TensorOptions(at::kMeta).dtype(dtype));
                   }};
  }
  return offer;
}

TensorOffer offer_for(const TensorMap& targets, const formats::SafetensorsSet& weights) {
  TensorOffer offer;
  for (const auto& [name, target] : targets) {
    const auto& entry = weights.entries().find(name)->second;
    offer[name] = {entry.tensor.shape, to_tensor_dtype(entry.tensor.dtype),
                   [&weights, &entry] { return read_tensor(weights, entry); }};
  }
  return offer;
}

void check_tensors(const OlmoeConfig& config, const formats::SafetensorsSet& weights, const fs::path& folder) {
  auto expected = published_ends(empty_olmoe_ends(config, at::kFloat, at::kMeta));
  const auto layer = empty_olmoe_layer(config, at::kFloat, at::kMeta);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) expected.merge(published_layer(config, layer, i));
  try {
    load_into(expected, "an OLMoE", all_shapes(weights));
  } catch (const DataError& error) {
    fail<DataError>("[", folder.string(), "] ", error.what());
  }
}

// So that a config.json that promises much more than the file holds costs no time.
void check_size(const OlmoeConfig& config, const formats::SafetensorsSet& weights, const fs::path& folder) {
  const auto per_layer = 9 + 3 * config.num_experts;
  const auto expected = config.num_hidden_layers * per_layer + (config.tie_word_embeddings ? 2 : 3);
  check<DataError>(expected == std::ssize(weights.entries()), "[", folder.string(), "] config.json describes ",
                   expected, " tensors, the weights hold ", weights.entries().size());
}

}  // namespace

LoadedOlmoe load_olmoe(const fs::path& folder, at::ScalarType dtype) {
  check<ConfigError>(dtype == at::kFloat || dtype == at::kBFloat16, "[olmoe] dtype must be float32 or bfloat16, got ",
                     dtype);
  const auto config_file = folder / "config.json";
  auto parsed = parse_olmoe_config(
      formats::parse_strict_json(read_file(config_file, kMaxConfigBytes), config_file.string()), config_file.string());
  const auto& config = parsed.config;
  const auto weights = formats::SafetensorsSet::open(folder);
  check_size(config, weights, folder);
  check_tensors(config, weights, folder);
  check_fits_memory(static_cast<uint64_t>(count_parameters(config).total) * c10::elementSize(dtype), "olmoe",
                    "the model");

  LoadedOlmoe loaded{.model = empty_olmoe_ends(config, dtype), .warnings = std::move(parsed.warnings)};
  const auto read = [&](const TensorMap& targets) { load_into(targets, "an OLMoE", offer_for(targets, weights)); };
  read(published_ends(loaded.model));
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    loaded.model.layers.push_back(empty_olmoe_layer(config, dtype));
    read(published_layer(config, loaded.model.layers.back(), i));
  }
  return loaded;
}

at::ScalarType stored_dtype(const fs::path& folder) {
  const auto weights = formats::SafetensorsSet::open(folder);
  const auto it = weights.entries().find("model.embed_tokens.weight");
  check<DataError>(it != weights.entries().end(), "[", folder.string(),
                   "] expected the tensor model.embed_tokens.weight, got none");
  const auto dtype = it->second.tensor.dtype;
  return dtype == formats::DType::bf16 || dtype == formats::DType::f16 ? at::kBFloat16 : at::kFloat;
}

void save_olmoe(const OlmoeModel& model, const fs::path& folder, const SaveOlmoeOptions& options) {
  fs::create_directories(folder);
  const auto layers = std::ssize(model.layers);
  const auto bytes = static_cast<uint64_t>(count_parameters(model.config).total) * model.embedding_VD.itemsize();
  const auto layer = [&](int64_t i) { return published_layer(model.config, model.layers[static_cast<size_t>(i)], i); };
  if (bytes <= options.one_file_bytes) {
    auto all = published_ends(model);
    for (int64_t i = 0; i < layers; ++i) all.merge(layer(i));
    save_tensors(folder / "model.safetensors", all, {{"format", "pt"}});
  } else {
    ShardWriter shards(folder, layers + 1);
    shards.add(published_ends(model));
    for (int64_t i = 0; i < layers; ++i) shards.add(layer(i));
    shards.finish();
  }
  write_file_atomic(folder / "config.json", olmoe_config_json(model.config));
}

}  // namespace polyphony::pipelines
