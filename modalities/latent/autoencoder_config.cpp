// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/autoencoder_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/check.h"
#include "core/formats/strict_json.h"

namespace polyphony::latent {
namespace {

using nlohmann::json;

constexpr int64_t kMaxChannels = 16384;
constexpr int64_t kMaxLevels = 8;
constexpr int64_t kMaxLayers = 64;
constexpr int64_t kMaxSampleSize = 65536;
constexpr const char* kDownBlock = "DownEncoderBlock2D";
constexpr const char* kUpBlock = "UpDecoderBlock2D";

// Keys that change nothing here: how the weights were trained or are to be run.
constexpr std::array kIgnoredKeys = {"force_upcast", "dtype", "torch_dtype"};

template <class T>
std::string list(const std::vector<T>& values) {
  std::string out = "[";
  for (const auto& value : values) out += (out.size() > 1 ? ", " : "") + join(value);
  return out + "]";
}

// What is wrong with the values, as "field must be ..., got ..."; nothing when a model can be built.
std::optional<std::string> problem_with(const AutoencoderConfig& c) {
  const auto outside = [](const char* field, int64_t value, int64_t high) -> std::optional<std::string> {
    if (value >= 1 && value <= high) return std::nullopt;
    return join(field, " must be in [1, ", high, "], got ", value);
  };
  const std::pair<const char*, int64_t> channels[] = {
      {"in_channels", c.in_channels}, {"out_channels", c.out_channels}, {"latent_channels", c.latent_channels}};
  for (const auto& [field, value] : channels)
    if (auto bad = outside(field, value, kMaxChannels)) return bad;
  if (auto bad = outside("layers_per_block", c.layers_per_block, kMaxLayers)) return bad;
  if (auto bad = outside("sample_size", c.sample_size, kMaxSampleSize)) return bad;
  if (auto bad = outside("norm_num_groups", c.norm_num_groups, kMaxChannels)) return bad;
  if (c.block_out_channels.empty() || static_cast<int64_t>(c.block_out_channels.size()) > kMaxLevels)
    return join("block_out_channels must have 1 to ", kMaxLevels, " entries, got ", c.block_out_channels.size());
  for (const int64_t width : c.block_out_channels) {
    if (auto bad = outside("block_out_channels", width, kMaxChannels)) return bad;
    if (width % c.norm_num_groups != 0)
      return join("block_out_channels must be multiples of norm_num_groups ", c.norm_num_groups, ", got ",
                  list(c.block_out_channels));
  }
  if (!std::isfinite(c.scaling_factor) || c.scaling_factor <= 0)
    return join("scaling_factor must be positive and finite, got ", c.scaling_factor);
  if (!std::isfinite(c.shift_factor)) return join("shift_factor must be finite, got ", c.shift_factor);
  const auto channel_count = static_cast<size_t>(c.latent_channels);
  if (c.latents_mean.size() != c.latents_std.size() ||
      (!c.latents_mean.empty() && c.latents_mean.size() != channel_count))
    return join("latents_mean and latents_std must both be absent or have latent_channels ", channel_count,
                " entries, got ", c.latents_mean.size(), " and ", c.latents_std.size());
  for (const double mean : c.latents_mean)
    if (!std::isfinite(mean)) return join("latents_mean must be finite, got ", list(c.latents_mean));
  for (const double deviation : c.latents_std)
    if (!std::isfinite(deviation) || deviation <= 0)
      return join("latents_std must be positive, got ", list(c.latents_std));
  return std::nullopt;
}

// Reads typed fields of one JSON object and remembers which keys were asked for.
class FieldReader {
 public:
  FieldReader(const json& object, const std::string& source) : object_(object), source_(source) {}

  void read(const char* key, int64_t& value) {
    const json* field = find(key);
    if (field == nullptr) return;
    require(field->is_number_integer(), key, "a whole number", *field);
    value = whole(*field, key);
  }
  void read(const char* key, double& value) {
    const json* field = find(key);
    if (field == nullptr) return;
    require(field->is_number(), key, "a number", *field);
    value = field->get<double>();
  }
  void read(const char* key, bool& value) {
    const json* field = find(key);
    if (field == nullptr) return;
    require(field->is_boolean(), key, "true or false", *field);
    value = field->get<bool>();
  }
  void read(const char* key, std::vector<int64_t>& values) {
    const json* field = find(key);
    if (field == nullptr) return;
    require(field->is_array(), key, "a list of whole numbers", *field);
    values.clear();
    for (const json& item : *field) {
      require(item.is_number_integer(), key, "a list of whole numbers", item);
      values.push_back(whole(item, key));
    }
  }
  void read(const char* key, std::vector<double>& values) {
    const json* field = find(key);
    if (field == nullptr) return;
    require(field->is_array(), key, "a list of numbers", *field);
    values.clear();
    for (const json& item : *field) {
      require(item.is_number(), key, "a list of numbers", item);
      values.push_back(item.get<double>());
    }
  }
  // Null counts as absent: diffusers writes it for values that the model does not have.
  template <class T>
  void read_nullable(const char* key, T& value) {
    const auto it = object_.find(key);
    if (it != object_.end() && it->is_null()) {
      known_.insert(key);
      return;
    }
    read(key, value);
  }

  const json* find(const char* key) {
    known_.insert(key);
    const auto it = object_.find(key);
    return it == object_.end() ? nullptr : &*it;
  }
  void require(bool ok, const char* key, const char* expected, const json& got) const {
    check<DataError>(ok, "[autoencoder_config] ", source_, ": ", key, " must be ", expected, ", got ", shown(got));
  }
  std::vector<std::string> unknown_keys() const {
    std::vector<std::string> out;
    for (const auto& [key, value] : object_.items())
      if (!known_.contains(key) && !key.starts_with("_")) out.push_back(key);
    return out;
  }

 private:
  static std::string shown(const json& value) {
    return value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 80);
  }
  int64_t whole(const json& value, const char* key) const {
    const bool fits = !value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t{INT64_MAX};
    require(fits, key, "a whole number below 2^63", value);
    return value.get<int64_t>();
  }

  const json& object_;
  const std::string& source_;
  std::set<std::string, std::less<>> known_;
};

void require_block_types(FieldReader& fields, const char* key, const char* type, size_t levels) {
  const json* types = fields.find(key);
  if (types == nullptr) return;
  fields.require(types->is_array() && types->size() == levels, key, "a list as long as block_out_channels", *types);
  for (const json& item : *types) fields.require(item == type, key, type, item);
}

void read_sample_size(FieldReader& fields, int64_t& sample_size) {
  const json* field = fields.find("sample_size");
  if (field == nullptr || !field->is_array()) return fields.read("sample_size", sample_size);
  std::vector<int64_t> sides;
  fields.read("sample_size", sides);
  fields.require(!sides.empty(), "sample_size", "a number or [height, width]", *field);
  sample_size = sides.front();
}

}  // namespace

void check_autoencoder_config(const AutoencoderConfig& config) {
  const auto problem = problem_with(config);
  check<ConfigError>(!problem, "[autoencoder_config] ", problem.value_or(""));
}

ParsedAutoencoderConfig parse_autoencoder_config(std::string_view json_text, const std::string& source) {
  const json object = formats::parse_strict_json(json_text, source);
  check<DataError>(object.is_object(), "[autoencoder_config] ", source, ": expected a JSON object, got ",
                   object.type_name());
  ParsedAutoencoderConfig parsed;
  AutoencoderConfig& c = parsed.config;
  FieldReader fields(object, source);
  fields.read("in_channels", c.in_channels);
  fields.read("out_channels", c.out_channels);
  fields.read("latent_channels", c.latent_channels);
  fields.read("block_out_channels", c.block_out_channels);
  fields.read("layers_per_block", c.layers_per_block);
  fields.read("norm_num_groups", c.norm_num_groups);
  read_sample_size(fields, c.sample_size);
  fields.read("scaling_factor", c.scaling_factor);
  fields.read_nullable("shift_factor", c.shift_factor);
  fields.read_nullable("latents_mean", c.latents_mean);
  fields.read_nullable("latents_std", c.latents_std);
  fields.read("use_quant_conv", c.use_quant_conv);
  fields.read("use_post_quant_conv", c.use_post_quant_conv);
  fields.read("mid_block_add_attention", c.mid_block_add_attention);
  require_block_types(fields, "down_block_types", kDownBlock, c.block_out_channels.size());
  require_block_types(fields, "up_block_types", kUpBlock, c.block_out_channels.size());
  if (const json* activation = fields.find("act_fn"))
    fields.require(*activation == "silu" || *activation == "swish", "act_fn", "silu", *activation);
  for (const char* key : kIgnoredKeys) fields.find(key);

  const auto problem = problem_with(c);
  check<DataError>(!problem, "[autoencoder_config] ", source, ": ", problem.value_or(""));
  for (const std::string& key : fields.unknown_keys())
    parsed.warnings.push_back(
        join("[autoencoder_config] ", source, ": the key ", key, " is not known and was ignored"));
  return parsed;
}

std::string autoencoder_config_json(const AutoencoderConfig& c) {
  check_autoencoder_config(c);
  const size_t levels = c.block_out_channels.size();
  nlohmann::ordered_json out;
  out["_class_name"] = "AutoencoderKL";
  out["in_channels"] = c.in_channels;
  out["out_channels"] = c.out_channels;
  out["down_block_types"] = std::vector<std::string>(levels, kDownBlock);
  out["up_block_types"] = std::vector<std::string>(levels, kUpBlock);
  out["block_out_channels"] = c.block_out_channels;
  out["layers_per_block"] = c.layers_per_block;
  out["act_fn"] = "silu";
  out["latent_channels"] = c.latent_channels;
  out["norm_num_groups"] = c.norm_num_groups;
  out["sample_size"] = c.sample_size;
  out["scaling_factor"] = c.scaling_factor;
  out["shift_factor"] = c.shift_factor;
  if (!c.latents_mean.empty()) {
    out["latents_mean"] = c.latents_mean;
    out["latents_std"] = c.latents_std;
  }
  out["use_quant_conv"] = c.use_quant_conv;
  out["use_post_quant_conv"] = c.use_post_quant_conv;
  out["mid_block_add_attention"] = c.mid_block_add_attention;
  return out.dump(2) + "\n";
}

}  // namespace polyphony::latent
