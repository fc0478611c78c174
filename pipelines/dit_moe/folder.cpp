// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/folder.h"

#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/memory.h"
#include "core/check.h"
#include "core/formats/safetensors_index.h"
#include "core/formats/strict_json.h"
#include "pipelines/dit_moe/published.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr auto kPositions = "pos_embed";

int64_t count_learned(const formats::SafetensorsSet& weights) {
  int64_t count = 0;
  for (const auto& [name, entry] : weights.entries())
    if (name != kPositions)
      count += static_cast<int64_t>(entry.tensor.num_bytes() / formats::dtype_bytes(entry.tensor.dtype));
  return count;
}

// So that a config that promises more than the file holds allocates nothing.
void check_sizes(const DitMoeConfig& config, const formats::SafetensorsSet& weights, const fs::path& folder) {
  const auto expected = count_parameters(config).total, found = count_learned(weights);
  if (!config.published_layer()) return check_fits_memory(static_cast<uint64_t>(expected) * 4, "dit_moe", "the model");
  check<DataError>(expected == found, "[dit_moe] ", folder.string(), ": config.json describes ", expected,
                   " parameters, the weights hold ", found);
}

bool has_normed_attention(const formats::SafetensorsSet& weights) {
  return weights.entries().contains("blocks.0.attn.Wqkv.weight");
}

}  // namespace

LoadedDitMoe load_dit_moe(const fs::path& given, at::ScalarType dtype) {
  check<ConfigError>(dtype == at::kFloat || dtype == at::kBFloat16, "[dit_moe] dtype must be float32 or bfloat16, got ",
                     dtype);
  const auto folder = fs::exists(given / "model_index.json") ? given / "transformer" : given;
  const auto config_file = folder / "config.json";
  const auto weights = formats::SafetensorsSet::open(folder);
  refuse_gelu_dit([&](const std::string& name) { return weights.entries().contains(name); }, folder.string());
  auto parsed = parse_dit_moe_config(
      formats::parse_strict_json(read_file(config_file, kMaxConfigBytes), config_file.string()), config_file.string());
  if (!parsed.names_attention) parsed.config.qk_norm = has_normed_attention(weights);
  parsed.config.compute_dtype = dtype == at::kBFloat16 ? "bfloat16" : "float32";
  check_sizes(parsed.config, weights, folder);

  LoadedDitMoe loaded{.model = std::make_shared<DitMoe>(parsed.config), .warnings = std::move(parsed.warnings)};
  auto targets = published_views(parsed.config, state_of(*loaded.model));
  if (!weights.entries().contains(kPositions)) targets.erase(kPositions);
  load_into(targets, "DiT-MoE", folder);
  loaded.model->set_dtype(dtype);
  loaded.model->eval();
  return loaded;
}

void save_dit_moe(const DitMoe& model, const fs::path& folder, DitMoeLayout layout) {
  check<ConfigError>(!model.packed(), "[dit_moe] a packed model has no weights to save");
  fs::create_directories(folder);
  const auto* weights = layout == DitMoeLayout::flat ? "model.safetensors" : "diffusion_pytorch_model.safetensors";
  save_tensors(folder / weights, published_views(model.config(), state_of(model)), {{"format", "pt"}});
  auto config = nlohmann::ordered_json::parse(dit_moe_config_json(model.config()));
  if (layout == DitMoeLayout::diffusers) {
    config.erase("model_type");
    nlohmann::ordered_json named = {{"_class_name", kDitMoeClassName}};
    named.update(config);
    config = std::move(named);
  }
  write_file_atomic(folder / "config.json", config.dump(2) + "\n");
}

}  // namespace polyphony::pipelines
