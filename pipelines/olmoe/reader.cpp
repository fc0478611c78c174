// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/reader.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/sha256.h"
#include "core/check.h"
#include "core/formats/strict_json.h"
#include "core/tensor_files.h"
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
void check_count(const OlmoeConfig& config, const formats::SafetensorsSet& weights, const fs::path& folder) {
  const auto expected = published_count(config);
  check<DataError>(expected == std::ssize(weights.entries()), "[", folder.string(), "] config.json describes ",
                   expected, " tensors, the weights hold ", weights.entries().size());
}

ParsedOlmoeConfig read_config(const fs::path& folder) {
  const auto file = folder / "config.json";
  return parse_olmoe_config(formats::parse_strict_json(read_file(file, kMaxConfigBytes), file.string()), file.string());
}

}  // namespace

OlmoeReader::OlmoeReader(const fs::path& folder)
    : folder_(folder), parsed_(read_config(folder)), weights_(formats::SafetensorsSet::open(folder)) {
  check_count(config(), weights_, folder);
  check_tensors(config(), weights_, folder);
}

at::ScalarType OlmoeReader::stored_dtype() const {
  const auto& embedding = weights_.entries().find("model.embed_tokens.weight")->second;
  return formats::dtype_bytes(embedding.tensor.dtype) == 2 ? at::kBFloat16 : at::kFloat;
}

uint64_t OlmoeReader::stored_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, entry] : weights_.entries()) bytes += entry.tensor.num_bytes();
  return bytes;
}

void OlmoeReader::read(const TensorMap& targets) const { load_into(targets, "an OLMoE", offer_for(targets, weights_)); }

OlmoeModel OlmoeReader::ends(at::ScalarType dtype) const {
  auto model = empty_olmoe_ends(config(), dtype);
  read(published_ends(model));
  return model;
}

OlmoeLayer OlmoeReader::layer(int64_t index, at::ScalarType dtype) const {
  auto layer = empty_olmoe_layer(config(), dtype);
  read(published_layer(config(), layer, index));
  return layer;
}

OlmoeLayer OlmoeReader::layer_without_matrices(int64_t index) const {
  auto layer = empty_olmoe_layer(config(), at::kFloat, at::kMeta);
  const auto device = at::TensorOptions(at::kCPU);
  for (auto* weights : {&layer.qkv, &layer.out, &layer.w13_E2FD, &layer.w2_EDF}) *weights = at::Tensor();
  for (auto* tensor : {&layer.attention_norm_D, &layer.experts_norm_D, &layer.q_norm, &layer.k_norm, &layer.gate_ED})
    *tensor = at::empty(tensor->sizes(), device);
  read(published_layer(config(), layer, index));
  return layer;
}

std::string OlmoeReader::fingerprint() const {
  Sha256 digest;
  const auto add = [&](const auto&... parts) { digest.update(as_byte_span(join(parts..., "\n"))); };
  for (const auto& file : weights_.files()) {
    add(file.path().filename().string(), " ", fs::file_size(file.path()), " ",
        fs::last_write_time(file.path()).time_since_epoch().count());
    for (const auto& tensor : file.tensors()) add(tensor.name, " ", tensor.begin, " ", tensor.end);
  }
  return digest.hex_digest();
}

std::optional<ops::WeightFormat> stored_format(const OlmoeReader& reader) {
  if (const auto& quantization = reader.config().quantization) return quantization->format;
  return reader.stored_dtype() == at::kBFloat16 ? std::optional(ops::WeightFormat::bf16) : std::nullopt;
}

}  // namespace polyphony::pipelines
