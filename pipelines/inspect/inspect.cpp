// SPDX-License-Identifier: Apache-2.0
// Decides by what is there, not by names: a pipeline folder, a model folder, a picture, or weights.
#include "pipelines/inspect/inspect.h"

#include <array>
#include <set>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/image_header.h"
#include "core/formats/png_text.h"
#include "core/formats/strict_json.h"
#include "pipelines/inspect/weights.h"
#include "pipelines/requests/picture_text.h"

namespace polyphony::pipelines {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kMaxConfigBytes = 16u << 20;
constexpr uint64_t kMaxPictureBytes = 256u << 20;

nlohmann::json read_config(const fs::path& file) {
  auto config = formats::parse_strict_json(read_file(file, kMaxConfigBytes), file.string());
  check<DataError>(config.is_object(), "[", file.string(), "] expected a JSON object, got ", config.type_name());
  return config;
}

std::string architecture_of(const nlohmann::json& config) {
  const auto text = [&](const char* key) -> std::string {
    const auto it = config.find(key);
    return it != config.end() && it->is_string() ? it->get<std::string>() : "";
  };
  if (auto name = text("_class_name"); !name.empty()) return name;
  if (const auto it = config.find("architectures");
      it != config.end() && it->is_array() && !it->empty() && it->front().is_string())
    return it->front().get<std::string>();
  return text("model_type");
}

void add_part(Inspection part, const std::string& name, Inspection& whole) {
  part.path = name;
  whole.files += part.files;
  whole.tensors += part.tensors;
  whole.parameters_total += part.parameters_total;
  whole.parameters_active += part.parameters_active;
  whole.memory_bytes += part.memory_bytes;
  whole.non_finite += part.non_finite;
  whole.parts.push_back(std::move(part));
}

// Folders inside that are models themselves (an autoencoder) are its parts.
Inspection inspect_model(const fs::path& folder) {
  Inspection out;
  out.path = folder.string();
  out.kind = InspectedKind::model;
  nlohmann::json config = nlohmann::json::object();
  if (fs::exists(folder / "config.json")) {
    config = read_config(folder / "config.json");
  } else {
    out.warnings.push_back("the folder has no config.json");
  }
  out.architecture = architecture_of(config);
  const auto weights = formats::SafetensorsSet::open(folder);
  inspect_weights(weights, out);
  out.parameters_active = count_active(weights, config);
  std::set<std::string> inner;
  for (const auto& entry : fs::directory_iterator(folder))
    if (!entry.is_symlink() && entry.is_directory() && fs::exists(entry.path() / "config.json"))
      inner.insert(entry.path().filename().string());
  for (const auto& name : inner) add_part(inspect_model(folder / name), name, out);
  return out;
}

// Folders of a pipeline that hold no weights (schedulers, tokenizers) are named in its index as well.
Inspection inspect_pipeline(const fs::path& folder) {
  const auto index = read_config(folder / "model_index.json");
  Inspection out;
  out.path = folder.string();
  out.kind = InspectedKind::pipeline;
  out.architecture = architecture_of(index);
  for (const auto& [name, value] : index.items())
    if (value.is_array() && is_plain_file_name(name) && fs::exists(folder / name / "config.json"))
      add_part(inspect_model(folder / name), name, out);
  check<DataError>(!out.parts.empty(), "[", folder.string(), "] the pipeline holds no model");
  return out;
}

Inspection inspect_weights_file(const fs::path& file) {
  Inspection out;
  out.path = file.string();
  out.kind = InspectedKind::weights;
  const auto weights = formats::SafetensorsSet::open(file);
  inspect_weights(weights, out);
  out.parameters_active = out.parameters_total;
  return out;
}

// By the first bytes; the reader of headers decides the rest.
bool is_picture(const fs::path& file) {
  const auto input = InputFile::open(file);
  std::array<std::byte, 12> start{};
  input.read_at(0, std::span(start).first(std::min<uint64_t>(input.size(), start.size())));
  const auto text = as_text(start);
  const bool webp = text.starts_with("RIFF") && text.substr(8) == "WEBP";
  const std::string_view tiff_little("II*\0", 4);
  const std::string_view tiff_big("MM\0*", 4);
  return webp || text.starts_with("\x89PNG") || text.starts_with("\xff\xd8\xff") || text.starts_with("BM") ||
         text.starts_with(tiff_little) || text.starts_with(tiff_big);
}

formats::ImageHeader header_of(std::string_view bytes, const fs::path& file) try {
  return formats::parse_image_header(as_byte_span(bytes));
} catch (const DataError& error) {
  throw DataError(join(error.what(), " (file ", file.string(), ")"));
}

Inspection inspect_picture(const fs::path& file) {
  Inspection out;
  out.path = file.string();
  out.kind = InspectedKind::picture;
  const auto bytes = read_file(file, kMaxPictureBytes);
  const auto header = header_of(bytes, file);
  out.architecture = formats::image_format_name(header.format);
  out.width = header.width;
  out.height = header.height;
  if (header.format != formats::ImageFormat::png) return out;
  const auto text = read_picture_text(bytes);
  out.parameters = text.parameters;
  out.parameters_json = text.json;
  return out;
}

}  // namespace

Inspection inspect(const fs::path& path) {
  std::error_code unreadable;  // the readers say what is wrong with it
  if (fs::is_directory(path, unreadable))
    return fs::exists(path / "model_index.json") ? inspect_pipeline(path) : inspect_model(path);
  return is_picture(path) ? inspect_picture(path) : inspect_weights_file(path);
}

}  // namespace polyphony::pipelines
