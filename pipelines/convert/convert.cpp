// SPDX-License-Identifier: Apache-2.0
#include "pipelines/convert/convert.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "modalities/latent/autoencoder_io.h"
#include "pipelines/convert/planned_folder.h"
#include "pipelines/convert/source.h"
#include "pipelines/dit_moe/pipeline.h"
#include "pipelines/dit_moe/published.h"
#include "pipelines/requests/object_reader.h"
#include "pipelines/torch_errors.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxConfigBytes = 16u << 20;

const OfferedTensor* find(const WeightsSource& source, const std::string& name) {
  const auto it = source.tensors.find(name);
  return it == source.tensors.end() ? nullptr : &it->second;
}

// What is no DiT-MoE is named before its tensors are compared one by one.
void check_family(const WeightsSource& source, const std::string& input) {
  refuse_gelu_dit([&](const std::string& name) { return find(source, name) != nullptr; }, input);
  check<DataError>(find(source, "blocks.0.moe.gate.weight"), "[convert] ", input,
                   ": expected the tensors of a DiT-MoE, but blocks.0.moe.gate.weight is missing");
}

// The preset for these tensors: another size of pictures and another number of classes keep its name.
DitMoeConfig fitted_preset(const std::string& preset, const WeightsSource& source, const std::string& input) {
  auto config = dit_moe_preset(preset);
  if (const auto* positions = find(source, "pos_embed"); positions && positions->shape.size() == 3) {
    const auto side = std::llround(std::sqrt(static_cast<double>(positions->shape[1])));
    check<DataError>(side > 0 && side * side == positions->shape[1], "[convert] ", input, ": pos_embed has ",
                     positions->shape[1], " positions, which are no square");
    config.input_size = side * config.patch_size;
  }
  if (const auto* table = find(source, "y_embedder.embedding_table.weight"); table && table->shape.size() == 2)
    config.num_classes = table->shape[0] - 1;
  const bool normed = find(source, "blocks.0.attn.Wqkv.weight") != nullptr;
  check<DataError>(normed == config.qk_norm, "[convert] ", input, ": the attention is ",
                   normed ? "normed (attn.Wqkv)" : "not normed (attn.qkv)", ", that of ", preset, " is the other one");
  try {
    check_dit_moe_config(config);
  } catch (const ConfigError& error) {
    fail<DataError>("[convert] ", input, ": ", error.what());  // what does not fit came out of the file
  }
  return config;
}

DitMoeConfig config_of(const ConvertOptions& options, const WeightsSource& source, ConvertReport& report) {
  if (options.config.empty()) return fitted_preset(options.preset, source, options.input);
  auto parsed =
      parse_dit_moe_config(parse_json(read_file(options.config, kMaxConfigBytes), options.config), options.config);
  if (!parsed.names_attention) parsed.config.qk_norm = find(source, "blocks.0.attn.Wqkv.weight") != nullptr;
  report.notes = std::move(parsed.warnings);
  return parsed.config;
}

// A config that promises far more than the file holds allocates nothing, nor does one for a larger machine.
void check_size(const DitMoeConfig& config, const WeightsSource& source, const std::string& input) {
  double found = 0;
  for (const auto& [name, tensor] : source.tensors) found += static_cast<double>(c10::multiply_integers(tensor.shape));
  const auto expected = static_cast<double>(count_parameters(config).total);
  check<DataError>(expected < 2 * found + 1e6, "[convert] ", input, ": expected ", human_count(expected),
                   " parameters, the file holds ", human_count(found));
  const double there = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  check<MemoryError>(4 * expected < there, "[convert] the model needs ",
                     human_bytes(static_cast<uint64_t>(4 * expected)), " of memory, this machine has ",
                     human_bytes(static_cast<uint64_t>(there)));
}

// Shows one step a tensor.
void report_reads(TensorOffer& tensors, const OnProgress& on_progress) {
  if (!on_progress) return;
  const auto done = std::make_shared<int64_t>(0);
  const auto total = std::ssize(tensors);
  for (auto& [name, tensor] : tensors)
    tensor.read = [read = std::move(tensor.read), on_progress, done, total] {
      check<CancelledError>(on_progress({.task = "convert", .done = ++*done, .total = total}),
                            "[convert] stopped by a signal; no folder was written");
      return read();
    };
}

std::shared_ptr<DitMoe> read_model(const DitMoeConfig& config, const WeightsSource& source, const std::string& input) {
  auto model = std::make_shared<DitMoe>(config);
  auto targets = published_views(config, state_of(*model));
  if (!find(source, "pos_embed")) targets.erase("pos_embed");
  try {
    load_into(targets, "a DiT-MoE", source.tensors);
  } catch (const DataError& error) {
    fail<DataError>("[convert] ", input, ": ", error.what());
  }
  check_finite(targets, join("[convert] ", input));
  model->eval();
  return model;
}

std::shared_ptr<latent::AutoencoderKL> read_autoencoder(const fs::path& folder, const DitMoeConfig& model,
                                                        ConvertReport& report) {
  const auto file = folder / "config.json";
  auto parsed = latent::parse_autoencoder_config(read_file(file, kMaxConfigBytes), file.string());
  check_autoencoder(model, parsed.config, folder.string());
  auto autoencoder = std::make_shared<latent::AutoencoderKL>(parsed.config);
  try {
    load_into(*autoencoder,
              latent::with_current_names(read_all(open_weights(folder)), std::ssize(parsed.config.block_out_channels)));
  } catch (const DataError& error) {
    fail<DataError>("[convert] ", folder.string(), ": ", error.what());
  }
  check_finite(state_of(*autoencoder), join("[convert] ", folder.string()));
  report.notes.insert(report.notes.end(), parsed.warnings.begin(), parsed.warnings.end());
  return autoencoder;
}

DitMoeMode mode_of(const std::string& mode) {
  check<UsageError>(mode == "rf" || mode == "ddpm", "[mode] expected rf or ddpm, got '", printable(mode, 40), "'");
  return mode == "rf" ? DitMoeMode::rectified_flow : DitMoeMode::ddpm;
}

ConvertReport convert(const ConvertOptions& options, const OnProgress& on_progress) {
  check<UsageError>(options.preset.empty() != options.config.empty(),
                    "[convert] expected either a preset or a config.json");
  const auto mode = mode_of(options.mode);
  if (!options.preset.empty()) dit_moe_preset(options.preset);  // a wrong name is told before a large file is read
  const PlannedFolder output(options.output);
  auto source = open_weights(options.input);
  check_family(source, options.input);
  ConvertReport report{
      .output = options.output, .state_dict = source.state_dict, .tensors = std::ssize(source.tensors)};
  const auto config = config_of(options, source, report);
  check_size(config, source, options.input);
  report_reads(source.tensors, on_progress);
  DitMoePipeline pipeline{.model = read_model(config, source, options.input), .mode = mode};
  if (!options.vae.empty()) pipeline.autoencoder = read_autoencoder(options.vae, config, report);
  if (!options.labels.empty())
    pipeline.labels = read_labels(parse_json(read_file(options.labels, kMaxConfigBytes), options.labels),
                                  config.num_classes, options.labels);
  report.parameters = count_parameters(config).total;
  save_dit_moe_pipeline(pipeline, output.temporary());
  output.publish();
  return report;
}

}  // namespace

ConvertReport run_convert(const ConvertOptions& options, const OnProgress& on_progress) {
  return translate_torch_errors([&] { return convert(options, on_progress); });
}

std::string to_json(const ConvertReport& report) {
  return dump_json({{"schema", "polyphony.convert/1"},
                    {"output", report.output},
                    {"state_dict", report.state_dict},
                    {"tensors", report.tensors},
                    {"parameters", report.parameters},
                    {"notes", report.notes}});
}

}  // namespace polyphony::pipelines
