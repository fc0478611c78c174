// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/folder.h"

#include <ATen/ATen.h>

#include <array>

#include "core/base/files.h"
#include "core/base/memory.h"
#include "core/check.h"
#include "core/nn/packed_file.h"
#include "core/tensor_shards.h"
#include "pipelines/olmoe/published.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

// Packed weights, or f32; and one layer more as it is read.
uint64_t memory_of(const OlmoeConfig& c, std::optional<ops::WeightFormat> format, at::ScalarType read_as) {
  const int64_t D = c.hidden_size, embedding = c.vocab_size * D;
  const int64_t layer = 2 * D * D + 2 * c.kv_size() * D + 3 * c.num_experts * c.intermediate_size * D;
  const double head = c.tie_word_embeddings && !format ? 0 : static_cast<double>(embedding);
  // Scales are 16 bits for 32 values.
  const double bytes = !format                              ? 4
                       : *format == ops::WeightFormat::bf16 ? 2
                       : *format == ops::WeightFormat::int8 ? 1.0625
                                                            : 0.5625;
  const double reading = format ? static_cast<double>(layer) : 0;
  const auto word = static_cast<double>(c10::elementSize(read_as));
  return static_cast<uint64_t>(bytes * (head + static_cast<double>(c.num_hidden_layers * layer)) +
                               word * (reading + static_cast<double>(embedding)));
}

// In the order of a packed file: the head, then each layer's four. Steps are undefined.
std::vector<ops::PackedMatrices> packed_shapes(const OlmoeConfig& c, ops::WeightFormat format) {
  const int64_t D = c.hidden_size, F = c.intermediate_size, E = c.num_experts;
  const auto shape = [&](int64_t count, int64_t rows, int64_t depth, bool gated = false) {
    return ops::PackedMatrices{
        .format = format, .gated = gated, .count = count, .rows = rows, .depth = depth, .steps = {}};
  };
  std::vector<ops::PackedMatrices> out = {shape(1, c.vocab_size, D)};
  for (int64_t i = 0; i < c.num_hidden_layers; ++i)
    for (const auto& each :
         {shape(1, D + 2 * c.kv_size(), D), shape(1, D, D), shape(E, 2 * F, D, true), shape(E, D, F)})
      out.push_back(each);
  return out;
}

int64_t total_bytes(const std::vector<ops::PackedMatrices>& shapes) {
  int64_t bytes = 0;
  for (const auto& shape : shapes) bytes += nn::packed_bytes(shape);
  return bytes;
}

std::array<nn::Weights*, 4> matrices_of(OlmoeLayer& layer) {
  return {&layer.qkv, &layer.out, &layer.w13_E2FD, &layer.w2_EDF};
}

// The layers from the stored weights, and into a packed file if there is to be one.
void read_layers(const OlmoeReader& reader, std::optional<ops::WeightFormat> format, OlmoeModel& model,
                 nn::PackedFileWriter* writer) {
  const auto read_as = format ? reader.stored_dtype() : at::kFloat;
  const auto keep = [&](const nn::Weights& weights) {
    if (writer) writer->add(std::get<ops::PackedMatrices>(weights));
  };
  to_state(model.head_VD, format, /*bank=*/false);
  keep(model.head_VD);
  for (int64_t i = 0; i < model.config.num_hidden_layers; ++i) {
    model.layers.push_back(reader.layer(i, read_as));
    to_state(model.layers.back(), format);
    for (const auto* weights : matrices_of(model.layers.back())) keep(*weights);
  }
}

// The layers from a packed file.
void map_layers(const OlmoeReader& reader, const std::vector<ops::PackedMatrices>& shapes, nn::PackedFileReader& packed,
                OlmoeModel& model) {
  auto shape = shapes.begin();
  model.head_VD = packed.next(*shape++);
  for (int64_t i = 0; i < model.config.num_hidden_layers; ++i) {
    model.layers.push_back(reader.layer_without_matrices(i));
    for (auto* weights : matrices_of(model.layers.back())) *weights = packed.next(*shape++);
  }
}

}  // namespace

void to_state(nn::Weights& weights, std::optional<ops::WeightFormat> format, bool bank, bool gated) {
  weights = format ? nn::packed(weights, *format, gated) : nn::Weights(nn::plain(weights, bank));
}

fs::path packed_file(const fs::path& folder, ops::WeightFormat format) {
  return folder / join("packed_", ops::to_string(format), ".bin");
}

LoadedOlmoe load_olmoe(const OlmoeReader& reader, std::optional<ops::WeightFormat> format,
                       const LoadOlmoeOptions& options) {
  const auto& config = reader.config();
  const auto& stored = config.quantization;
  check<UsageError>(!format || !stored || *format == stored->format, "[olmoe] the folder holds ",
                    stored ? ops::to_string(stored->format) : "", " weights, which cannot be loaded as ",
                    format ? ops::to_string(*format) : "");
  const auto read_as = format ? reader.stored_dtype() : at::kFloat;
  check_fits_memory(memory_of(config, format, read_as), "olmoe", "the model");
  LoadedOlmoe loaded{.model = reader.ends(read_as), .warnings = reader.warnings()};
  loaded.model.dtype = format ? at::kBFloat16 : at::kFloat;
  if (!format) {
    read_layers(reader, {}, loaded.model, nullptr);
    loaded.model.config.quantization = {};  // its weights are not quantised any more
    return loaded;
  }
  const auto path = packed_file(reader.folder(), *format);
  const auto shapes = packed_shapes(config, *format);
  const nn::PackedFileHead head{.key = join(ops::to_string(*format), " ", reader.fingerprint()),
                                .bytes = total_bytes(shapes)};
  std::string problem;
  if (auto packed = nn::PackedFileReader::open(path, head, problem)) {
    map_layers(reader, shapes, *packed, loaded.model);
    return loaded;
  }
  if (!problem.empty()) loaded.warnings.push_back(problem + ": made anew");
  if (!options.keep_packed && problem.empty()) {
    read_layers(reader, format, loaded.model, nullptr);
    return loaded;
  }
  std::optional<nn::PackedFileWriter> writer;
  try {
    writer.emplace(path, head);
  } catch (const Error& error) {  // a folder that cannot be written to is no reason not to answer
    loaded.warnings.emplace_back(error.what());
  }
  read_layers(reader, format, loaded.model, writer ? &*writer : nullptr);
  if (writer) writer->commit();
  return loaded;
}

void to_state(OlmoeLayer& layer, std::optional<ops::WeightFormat> format) {
  for (auto* map : {&layer.qkv, &layer.out}) to_state(*map, format, /*bank=*/false);
  to_state(layer.w13_E2FD, format, /*bank=*/true, /*gated=*/true);
  to_state(layer.w2_EDF, format, /*bank=*/true);
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
