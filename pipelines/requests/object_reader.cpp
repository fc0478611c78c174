// SPDX-License-Identifier: Apache-2.0
// Each getter remembers its key, so that finish() knows what nobody asked for.
#include "pipelines/requests/object_reader.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/strict_json.h"

namespace polyphony::pipelines {

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  return formats::parse_strict_json(text, where, {.max_bytes = 16u << 20, .max_depth = 32});
}

std::string dump_json(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

ObjectReader::ObjectReader(const nlohmann::json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  check<DataError>(object_.is_object(), "[", where_, "] expected a JSON object, got ", object_.type_name());
}

const nlohmann::json* ObjectReader::find(const std::string& key) {
  known_.push_back(key);
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

std::optional<std::string> ObjectReader::text(const std::string& key) {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  check<DataError>(value->is_string(), "[", where_, "] '", key, "' must be a string, got ", value->type_name());
  return value->get<std::string>();
}

std::optional<std::string> ObjectReader::text_or_integer(const std::string& key) {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  check<DataError>(value->is_string() || value->is_number_integer(), "[", where_, "] '", key,
                   "' must be a string or an integer, got ", printable(dump_json(*value), 60));
  return value->is_string() ? value->get<std::string>() : dump_json(*value);
}

std::optional<int64_t> ObjectReader::integer(const std::string& key) {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  const bool fits = value->is_number_integer() && !(value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX);
  check<DataError>(fits, "[", where_, "] '", key, "' must be an integer, got ", printable(dump_json(*value), 60));
  return value->get<int64_t>();
}

std::optional<uint64_t> ObjectReader::natural(const std::string& key) {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  check<DataError>(value->is_number_unsigned(), "[", where_, "] '", key, "' must be an integer from 0 to 2^64-1, got ",
                   printable(dump_json(*value), 60));
  return value->get<uint64_t>();
}

std::optional<double> ObjectReader::number(const std::string& key) {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  check<DataError>(value->is_number(), "[", where_, "] '", key, "' must be a number, got ",
                   printable(dump_json(*value), 60));
  return value->get<double>();
}

std::optional<bool> ObjectReader::flag(const std::string& key) {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  check<DataError>(value->is_boolean(), "[", where_, "] '", key, "' must be true or false, got ",
                   printable(dump_json(*value), 60));
  return value->get<bool>();
}

std::vector<std::string> ObjectReader::unknown_keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_.items())
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) keys.push_back(key);
  return keys;
}

void ObjectReader::finish() const {
  const auto unknown = unknown_keys();
  check<DataError>(unknown.empty(), "[", where_, "] unknown key '", printable(unknown.empty() ? "" : unknown.front()),
                   "'", unknown.empty() ? "" : did_you_mean(unknown.front(), known_));
}

}  // namespace polyphony::pipelines
