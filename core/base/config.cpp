// SPDX-License-Identifier: Apache-2.0
// Config: where values come from (files, environment, flags) and what becomes of them.
#include "core/base/config.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>

#include "core/base/config_state.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony {

using namespace config_detail;

namespace {

using Parser = Node (*)(std::string_view, const std::string&);

std::shared_ptr<State> parse_with(Parser parse, std::string_view text, const std::string& name) {
  check<ConfigError>(text.size() <= Config::kMaxBytes, name, ": expected at most ", human_bytes(Config::kMaxBytes),
                     ", got ", human_bytes(text.size()));
  const bool utf16 = text.size() >= 2 && (text.substr(0, 2) == "\xFF\xFE" || text.substr(0, 2) == "\xFE\xFF");
  check<ConfigError>(!utf16 && text.find('\0') == std::string_view::npos, name, ":1:1: expected UTF-8 text, got ",
                     utf16 ? "UTF-16 (save it as UTF-8)" : "NUL bytes");
  for (size_t start = 0, line = 1; start <= text.size(); ++line) {
    const size_t end = std::min(text.find('\n', start), text.size());
    check<ConfigError>(is_utf8(text.substr(start, end - start)), name, ":", line,
                       ":1: expected UTF-8 text, got other bytes in this line");
    start = end + 1;
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  return std::make_shared<State>(State{.name = name, .given = parse(text, name), .resolved = make_table(name)});
}

void merge_tables(Table& into, const Table& from) {
  for (const auto& entry : from) {
    Node& mine = find_or_add(into, entry.key);
    auto* table = std::get_if<Table>(&mine.value);
    const auto* other = std::get_if<Table>(&entry.node.value);
    if (table && other) {
      merge_tables(*table, *other);
    } else {
      mine = entry.node;
    }
  }
}

void collect_unused(const Table& given, const Table* resolved, const std::string& path,
                    std::vector<std::string>& errors) {
  std::vector<std::string> known;
  if (resolved)
    for (const auto& entry : *resolved) known.push_back(entry.key);
  const auto look_below = [&](const Node& node, const Node* read, const std::string& name) {
    if (const auto* table = std::get_if<Table>(&node.value))
      collect_unused(*table, read ? std::get_if<Table>(&read->value) : nullptr, name, errors);
  };
  for (const auto& [key, node] : given) {
    const std::string name = path.empty() ? key : join(path, ".", key);
    if (!node.used) {
      errors.push_back(join(node.where, ": unknown key '", printable(name), "'", did_you_mean(key, known)));
      continue;
    }
    if (node.ignored) continue;
    const Node* read_node = resolved ? find(*resolved, key) : nullptr;
    look_below(node, read_node, name);
    if (const auto* array = std::get_if<Array>(&node.value)) {
      const auto* read_array = read_node ? std::get_if<Array>(&read_node->value) : nullptr;
      for (size_t i = 0; i < array->size(); ++i)
        look_below((*array)[i], read_array && i < read_array->size() ? &(*read_array)[i] : nullptr,
                   join(name, "[", i, "]"));
    }
  }
}

}  // namespace

Config::Config() : state_(std::make_shared<State>(State{"defaults", make_table("defaults"), make_table("defaults")})) {}

Config Config::from_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  check<ConfigError>(std::filesystem::exists(status), "[config] expected a recipe, got no such file: ", path.string());
  check<ConfigError>(std::filesystem::is_regular_file(status),
                     "[config] expected a regular file, got something else: ", path.string());
  const auto bytes = std::filesystem::file_size(path, error);
  check<ConfigError>(!error && bytes <= kMaxBytes, "[config] expected at most ", human_bytes(kMaxBytes), ", got ",
                     human_bytes(bytes), ": ", path.string());
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (bytes > 0) text << file.rdbuf();
  check<ConfigError>(!file.bad() && !text.fail() && (bytes == 0 || file),
                     "[config] expected a readable file, got an error reading ", path.string());
  const std::string name = path.string();
  return path.extension() == ".json" ? from_json_string(text.str(), name) : from_string(text.str(), name);
}

Config Config::from_string(std::string_view toml, const std::string& name) {
  return Config(parse_with(parse_toml, toml, name));
}

Config Config::from_json_string(std::string_view json, const std::string& name) {
  return Config(parse_with(parse_json, json, name));
}

void Config::merge(const Config& over) {
  merge_tables(std::get<Table>(state_->given.value), std::get<Table>(over.state_->given.value));
  state_->name += " + " + over.name();
}

void Config::set(std::string_view path, std::string_view value, std::string_view source) {
  Node* node = &state_->given;
  const std::string where(source);
  check<ConfigError>(is_utf8(path) && is_utf8(value) && value.find('\0') == std::string_view::npos, where,
                     ": expected UTF-8 text, got '", printable(path), "' = '", printable(value), "'");
  for (const auto& part : split(path, '.')) {
    check<ConfigError>(!part.empty(), where, ": expected a key such as train.learning_rate, got '", printable(path),
                       "'");
    if (auto* array = std::get_if<Array>(&node->value)) {
      const auto index = parse_integer(part);
      check<ConfigError>(index && *index >= 0 && *index < static_cast<int64_t>(array->size()), where,
                         ": expected an index below ", array->size(), ", got '", printable(part), "'");
      node = &(*array)[static_cast<size_t>(*index)];
      continue;
    }
    if (std::holds_alternative<Null>(node->value)) *node = make_table(where);
    auto* table = std::get_if<Table>(&node->value);
    check<ConfigError>(table != nullptr, where, ": expected a table above '", printable(part), "', got ",
                       kind_name(*node));
    node = &find_or_add(*table, part);
  }
  *node = {.value = Raw{std::string(value)}, .where = where};
}

void Config::set_from_environment(const char* const* environment) {
  constexpr std::string_view kPrefix = "POLYPHONY_";
  for (auto entry = environment ? environment : ::environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (text.substr(0, kPrefix.size()) != kPrefix || equals == std::string_view::npos) continue;
    const std::string_view variable = text.substr(0, equals);
    if (variable.find("__") == std::string_view::npos) continue;
    std::string path(variable.substr(kPrefix.size()));
    std::transform(path.begin(), path.end(), path.begin(), [](unsigned char c) { return std::tolower(c); });
    for (size_t at = path.find("__"); at != std::string::npos; at = path.find("__", at)) path.replace(at, 2, ".");
    set(path, text.substr(equals + 1), join("environment variable ", printable(variable)));
  }
}

Section Config::root() const { return Section(state_, &state_->given, &state_->resolved, ""); }

int64_t Config::check_version(int64_t current) const {
  const int64_t version = root().integer("config_version", current, {.min = 1});
  root().require(
      version <= current, "config_version",
      join("this program reads versions up to ", current, "; the file was written by a newer version (", version, ")"));
  return version;
}

void Config::check_all_used() const {
  std::vector<std::string> errors;
  collect_unused(std::get<Table>(state_->given.value), &std::get<Table>(state_->resolved.value), "", errors);
  std::string message;
  for (const auto& error : errors) message += (message.empty() ? "" : "\n") + error;
  check<ConfigError>(errors.empty(), message);
}

std::string Config::to_toml() const { return dump_toml(std::get<Table>(state_->resolved.value)); }

const std::string& Config::name() const { return state_->name; }

}  // namespace polyphony
