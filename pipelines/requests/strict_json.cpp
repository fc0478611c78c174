// SPDX-License-Identifier: Apache-2.0
// A parse callback that counts levels and remembers keys, and typed access to the members of an object.
#include "pipelines/requests/strict_json.h"

#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::pipelines {
namespace {

constexpr size_t kMaxJsonBytes = 16u << 20;
constexpr size_t kMaxDepth = 32;

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  check<DataError>(text.size() <= kMaxJsonBytes, "[", where, "] expected at most 16 MiB of JSON, got ", text.size(),
                   " bytes");
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  // The parser calls back before it goes into a level, so depth is bounded before the recursion is.
  const auto on_event = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    check<DataError>(static_cast<size_t>(depth) < kMaxDepth, "[", where, "] expected at most ", kMaxDepth,
                     " levels of JSON");
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto name = parsed.get<std::string>();
      check<DataError>(keys.back().insert(name).second, "[", where, "] the key '", printable(name), "' is there twice");
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), on_event);
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("[", where, "] not JSON: ", printable(error.what()));
  }
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

void ObjectReader::finish() const {
  for (const auto& [key, value] : object_.items())
    check<DataError>(std::find(known_.begin(), known_.end(), key) != known_.end(), "[", where_, "] unknown key '",
                     printable(key), "'", did_you_mean(key, known_));
}

}  // namespace polyphony::pipelines
