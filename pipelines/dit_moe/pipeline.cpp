// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/pipeline.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/strict_json.h"
#include "modalities/latent/autoencoder_io.h"
#include "pipelines/dit_moe/folder.h"
#include "pipelines/dit_moe/scheduler.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr uint64_t kMaxIndexBytes = 16u << 20;
constexpr auto kIndex = "model_index.json";
constexpr auto kSchedulerFile = "scheduler_config.json";
constexpr auto kPixels = "pixels";

struct Component {
  bool there = false;
  std::string class_name = {};  // empty where the index does not name it
};

// "name": [library, class] of an index; null, or [null, null], is none. Where the index is silent, the folder decides.
Component component(const json& index, const fs::path& folder, const char* name) {
  const auto it = index.find(name);
  if (it == index.end()) return {.there = fs::is_directory(folder / name)};
  if (it->is_null()) return {};
  const auto source = (folder / kIndex).string();
  check<DataError>(it->is_array() && it->size() == 2, "[", source, "] '", name, "' must be [library, class] or null");
  if ((*it)[1].is_null()) return {};
  check<DataError>((*it)[1].is_string(), "[", source, "] '", name, "' must be [library, class] or null");
  check<DataError>(fs::is_directory(folder / name), "[", source, "] names a '", name, "', but there is no folder ",
                   (folder / name).string());
  return {.there = true, .class_name = (*it)[1].get<std::string>()};
}

void check_class(const Component& found, const std::string& expected, const char* name, const fs::path& folder) {
  check<DataError>(found.class_name.empty() || found.class_name == expected, "[", (folder / kIndex).string(),
                   "] expected the class of '", name, "' to be ", expected, ", got '", printable(found.class_name, 60),
                   "'");
}

void read_autoencoder(DitMoePipeline& out, const fs::path& folder) {
  auto loaded = latent::load_autoencoder(folder);
  check_autoencoder(out.model->config(), loaded.model->config(), folder.string());
  out.autoencoder = std::move(loaded.model);
  out.warnings.insert(out.warnings.end(), loaded.warnings.begin(), loaded.warnings.end());
}

void read_index(DitMoePipeline& out, const fs::path& folder) {
  const auto source = (folder / kIndex).string();
  const auto index = parse_json(read_file(folder / kIndex, kMaxIndexBytes), source);
  check<DataError>(index.is_object(), "[", source, "] expected a JSON object, got ", index.type_name());
  const auto transformer = component(index, folder, "transformer");
  check<DataError>(transformer.there, "[", source, "] names no transformer");
  check_class(transformer, kDitMoeClassName, "transformer", folder);
  out.labels = read_labels(index.value("id2label", json()), out.model->config().num_classes, source);
  const auto space = index.value("sample_space", json("latents"));
  check<DataError>(space == "latents" || space == kPixels, "[", source,
                   "] 'sample_space' must be latents or pixels, got ", printable(dump_json(space), 60));
  out.pixels = space == kPixels;

  if (const auto vae = component(index, folder, "vae"); vae.there) {
    check_class(vae, "AutoencoderKL", "vae", folder);
    check<DataError>(!out.pixels, "[", source, "] the model draws pixels by itself, and yet there is a vae");
    read_autoencoder(out, folder / "vae");
  }
  const int64_t channels = out.model->config().in_channels;
  check<DataError>(!out.pixels || channels == 1 || channels == 3, "[", source,
                   "] a model of pixels must have 1 or 3 channels, got ", channels);
  if (const auto scheduler = component(index, folder, "scheduler"); scheduler.there) {
    const auto file = folder / "scheduler" / kSchedulerFile;
    const auto read = read_scheduler(file);
    out.mode = read.mode;
    check_class(scheduler, read.class_name, "scheduler", folder);
  }
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

std::map<int64_t, std::string> read_labels(const json& id2label, int64_t num_classes, const std::string& source) {
  std::map<int64_t, std::string> labels;
  if (id2label.is_null()) return labels;
  check<DataError>(id2label.is_object(), "[", source, "] the names of classes must be an object, got ",
                   id2label.type_name());
  for (const auto& [key, value] : id2label.items()) {
    const auto id = parse_integer(key);
    check<DataError>(id && *id >= 0 && *id < num_classes, "[", source, "] names the class '", printable(key, 40),
                     "', the model has classes 0..", num_classes - 1);
    check<DataError>(value.is_string(), "[", source, "] the label of class ", *id, " must be text, got ",
                     value.type_name());
    labels[*id] = value.get<std::string>();
  }
  return labels;
}

void check_autoencoder(const DitMoeConfig& model, const latent::AutoencoderConfig& autoencoder,
                       const std::string& where) {
  check<DataError>(autoencoder.latent_channels == model.in_channels, "[", where, "] the autoencoder has ",
                   autoencoder.latent_channels, " latent channels, the transformer takes ", model.in_channels);
  check<DataError>(autoencoder.out_channels == 3, "[", where, "] the autoencoder must give 3 colours, got ",
                   autoencoder.out_channels);
}

int64_t DitMoePipeline::picture_size() const {
  if (pixels) return model->config().input_size;
  return autoencoder ? model->config().input_size * autoencoder->config().downscale() : 0;
}

DitMoePipeline load_dit_moe_pipeline(const fs::path& folder, at::ScalarType dtype) try {
  auto loaded = load_dit_moe(folder, dtype);
  DitMoePipeline out{.model = std::move(loaded.model), .warnings = std::move(loaded.warnings)};
  if (fs::exists(folder / kIndex)) read_index(out, folder);
  if (out.autoencoder && dtype == at::kBFloat16)
    out.decoder = std::make_shared<const latent::Bf16Decoder>(*out.autoencoder);
  return out;
} catch (const fs::filesystem_error& error) {
  fail<DataError>("[", error.path1().string(), "] ", error.code().message());
}

void save_dit_moe_pipeline(const DitMoePipeline& pipeline, const fs::path& folder) {
  check<ConfigError>(pipeline.mode.has_value(), "[dit_moe] a diffusers folder needs a mode: rf or ddpm");
  for (const char* part : {"transformer", "scheduler"}) fs::create_directories(folder / part);
  save_dit_moe(*pipeline.model, folder / "transformer", DitMoeLayout::diffusers);
  write_file_atomic(folder / "scheduler" / kSchedulerFile, scheduler_json(*pipeline.mode));
  if (pipeline.autoencoder) {
    fs::create_directories(folder / "vae");
    latent::save_autoencoder(*pipeline.autoencoder, folder / "vae");
  }
  const auto diffusers = [](const std::string& name) { return nlohmann::ordered_json{"diffusers", name}; };
  nlohmann::ordered_json index = {{"_class_name", kDitMoePipelineName},
                                  {"transformer", diffusers(kDitMoeClassName)},
                                  {"scheduler", diffusers(scheduler_name(*pipeline.mode))}};
  index["vae"] = pipeline.autoencoder ? diffusers("AutoencoderKL") : nlohmann::ordered_json();
  if (pipeline.pixels) index["sample_space"] = kPixels;
  for (const auto& [id, label] : pipeline.labels) index["id2label"][std::to_string(id)] = label;
  write_file_atomic(folder / kIndex, index.dump(2) + "\n");  // last: with it the folder is complete
}

at::Tensor pixels_of(const DitMoePipeline& pipeline, const at::Tensor& latents) {
  check<ConfigError>(pipeline.draws_pictures(), "[dit_moe] expected a model with an autoencoder or of pixels");
  const c10::InferenceMode inference;
  auto pixels = latents.to(at::kFloat);
  if (pipeline.decoder) {
    pixels = pipeline.decoder->decode(pipeline.autoencoder->from_latent(pixels));
  } else if (pipeline.autoencoder) {
    pixels = pipeline.autoencoder->decode(
        pipeline.autoencoder->from_latent(pixels).contiguous(at::MemoryFormat::ChannelsLast));
  }
  return pixels.size(1) == 1 ? pixels.expand({-1, 3, -1, -1}) : pixels;
}

int64_t find_class(const DitMoePipeline& pipeline, const std::string& label) {
  const int64_t last = pipeline.model->config().num_classes - 1;
  if (const auto id = parse_integer(label)) {
    check<UsageError>(*id >= 0 && *id <= last, "[class] expected a class from 0 to ", last, ", got ", *id);
    return *id;
  }
  std::vector<std::string> names;
  for (const auto& [id, synonyms] : pipeline.labels)
    for (const auto& name : split(synonyms, ',')) {
      names.push_back(lower(std::string(trim(name))));
      if (names.back() == lower(std::string(trim(label)))) return id;
    }
  fail<UsageError>("[class] expected a class from 0 to ", last,
                   names.empty() ? "; this model has no names for them" : " or a name that the model knows", ", got '",
                   printable(label, 60), "'", did_you_mean(lower(label), names));
}

}  // namespace polyphony::pipelines
