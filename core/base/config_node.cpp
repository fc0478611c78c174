// SPDX-License-Identifier: Apache-2.0
#include "core/base/config_node.h"

#include <algorithm>
#include <array>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::config_detail {

Node* find(Table& table, std::string_view key) {
  for (auto& entry : table)
    if (entry.key == key) return &entry.node;
  return nullptr;
}

const Node* find(const Table& table, std::string_view key) {
  for (const auto& entry : table)
    if (entry.key == key) return &entry.node;
  return nullptr;
}

Node& find_or_add(Table& table, std::string_view key) {
  if (Node* node = find(table, key)) return *node;
  table.push_back({std::string(key), Node{}});
  return table.back().node;
}

Node make_table(std::string where) { return {.value = Table{}, .where = std::move(where)}; }

const char* kind_name(const Node& node) {
  constexpr std::array kNames = {"null",     "a flag",   "an integer", "a number",
                                 "a string", "the text", "a list",     "a table"};
  static_assert(kNames.size() == std::variant_size_v<decltype(Node::value)>);
  return kNames[node.value.index()];
}

namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    constexpr std::string_view kHex = "0123456789ABCDEF";
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string key_text(const std::string& key) {
  const bool bare =
      !key.empty() &&
      key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == std::string::npos;
  return bare ? key : quoted(key);
}

bool is_array_of_tables(const Node& node) {
  const auto* array = std::get_if<Array>(&node.value);
  return array && !array->empty() && std::holds_alternative<Table>(array->front().value);
}

std::string value_text(const Node& node) {
  if (const auto* flag = std::get_if<bool>(&node.value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&node.value)) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&node.value)) return format_number(*number);
  if (const auto* text = std::get_if<std::string>(&node.value)) return quoted(*text);
  std::string out;
  for (const auto& item : std::get<Array>(node.value)) out += (out.empty() ? "" : ", ") + value_text(item);
  return "[" + out + "]";
}

// True when nothing below would be printed: tables and keys that were only asked about.
bool is_blank(const Node& node) {
  if (const auto* table = std::get_if<Table>(&node.value))
    return std::all_of(table->begin(), table->end(), [](const Entry& entry) { return is_blank(entry.node); });
  return std::holds_alternative<Null>(node.value);
}

void dump_table(const Table& table, const std::string& path, std::string& out) {
  const auto inner_path = [&](const Entry& entry) {
    return path.empty() ? key_text(entry.key) : path + "." + key_text(entry.key);
  };
  const auto nested = [](const Node& node) {
    return std::holds_alternative<Table>(node.value) || is_array_of_tables(node);
  };
  for (const auto& entry : table)
    if (!nested(entry.node) && !std::holds_alternative<Null>(entry.node.value))
      out += key_text(entry.key) + " = " + value_text(entry.node) + "\n";
  for (const auto& entry : table) {
    const std::string inner = inner_path(entry);
    if (const auto* section = std::get_if<Table>(&entry.node.value)) {
      if (is_blank(entry.node)) continue;
      out += (out.empty() ? "[" : "\n[") + inner + "]\n";
      dump_table(*section, inner, out);
    } else if (is_array_of_tables(entry.node)) {
      for (const auto& item : std::get<Array>(entry.node.value)) {
        out += (out.empty() ? "[[" : "\n[[") + inner + "]]\n";
        dump_table(std::get<Table>(item.value), inner, out);
      }
    }
  }
}

}  // namespace

std::string shown(const Node& node) {
  if (const auto* raw = std::get_if<Raw>(&node.value)) return "'" + printable(raw->text, 80) + "'";
  if (std::holds_alternative<Null>(node.value)) return "null";
  if (std::holds_alternative<Table>(node.value)) return "{...}";
  if (std::holds_alternative<Array>(node.value)) return "[...]";
  return printable(value_text(node), 80);
}

std::string dump_toml(const Table& root) {
  std::string out;
  dump_table(root, "", out);
  return out;
}

}  // namespace polyphony::config_detail
