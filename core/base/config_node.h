// SPDX-License-Identifier: Apache-2.0
// The tree behind Config, and its two parsers. Internal to core/base/config*.cpp; use core/base/config.h.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace polyphony::config_detail {

inline constexpr int kMaxDepth = 64;

struct Entry;
struct Node;
struct Null {};
struct Raw {  // text from a flag or the environment; takes the type that its reader asks for
  std::string text;
};
using Table = std::list<Entry>;  // order of the file; a list because readers keep pointers to nodes
using Array = std::vector<Node>;

// One value of a config file and where it was written.
struct Node {
  std::variant<Null, bool, int64_t, double, std::string, Raw, Array, Table> value = Null{};
  std::string where = {};  // "recipe.toml:12" or "environment variable POLYPHONY_TRAIN__LR"
  bool used = false;       // someone asked for this key
  bool ignored = false;    // nobody needs to ask for the keys below
};

struct Entry {
  std::string key;
  Node node;
};

Node* find(Table& table, std::string_view key);
const Node* find(const Table& table, std::string_view key);
// The value under the key, made as Null if it was absent.
Node& find_or_add(Table& table, std::string_view key);
Node make_table(std::string where);
// "an integer", "a string"
const char* kind_name(const Node& node);
// The value as a short text for an error message: `"8"`, `8.5`, `[...]`.
std::string shown(const Node& node);

// Both throw ConfigError "name:line:col: ...".
Node parse_toml(std::string_view text, const std::string& name);
Node parse_json(std::string_view text, const std::string& name);

// Tables as TOML text, plain values first.
std::string dump_toml(const Table& root);

}  // namespace polyphony::config_detail
