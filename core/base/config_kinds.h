// SPDX-License-Identifier: Apache-2.0
// How each kind of config value is read, checked and printed again. Internal to core/base/config_section.cpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <optional>

#include "core/base/config.h"
#include "core/base/config_node.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::config_detail {

inline std::string unquoted(std::string_view text) {
  text = trim(text);
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  return std::string(quoted ? text.substr(1, text.size() - 2) : text);
}

// A kind of value: `from` gives the value of a node, or nothing if the type is wrong; `rule` is empty if the value is
// allowed; `node` makes the node that to_toml() prints.
struct IntegerKind {
  using Value = int64_t;
  IntegerRange range;

  static const char* name() { return "an integer"; }
  std::optional<Value> from(const Node& node) const {
    if (const auto* raw = std::get_if<Raw>(&node.value)) return parse_integer(trim(raw->text));
    const auto* value = std::get_if<int64_t>(&node.value);
    return value ? std::optional(*value) : std::nullopt;
  }
  std::string rule(Value value) const {
    if (value >= range.min && value <= range.max) return {};
    if (range.max == IntegerRange{}.max) return join("at least ", range.min);
    if (range.min == IntegerRange{}.min) return join("at most ", range.max);
    return join("in [", range.min, ", ", range.max, "]");
  }
  decltype(Node::value) node(Value value) const { return value; }
};

struct NumberKind {
  using Value = double;
  NumberRange range;

  static const char* name() { return "a number"; }
  std::optional<Value> from(const Node& node) const {
    if (const auto* raw = std::get_if<Raw>(&node.value)) return parse_number(trim(raw->text));
    if (const auto* integer = std::get_if<int64_t>(&node.value)) return static_cast<double>(*integer);
    const auto* value = std::get_if<double>(&node.value);
    return value ? std::optional(*value) : std::nullopt;
  }
  std::string rule(Value value) const {
    if (!std::isfinite(value)) return "finite";
    if (value >= range.min && value <= range.max && value > range.above && value < range.below) return {};
    const auto bound = [](const char* word, double limit) {
      return std::isfinite(limit) ? join(word, format_number(limit)) : std::string();
    };
    std::string out;
    for (const auto& part : {bound("at least ", range.min), bound("above ", range.above), bound("at most ", range.max),
                             bound("below ", range.below)})
      if (!part.empty()) out += (out.empty() ? "" : " and ") + part;
    return out;
  }
  decltype(Node::value) node(Value value) const { return value; }
};

struct FlagKind {
  using Value = bool;

  static const char* name() { return "true or false"; }
  std::optional<Value> from(const Node& node) const {
    if (const auto* raw = std::get_if<Raw>(&node.value)) {
      const auto text = trim(raw->text);
      if (text == "true" || text == "1") return true;
      if (text == "false" || text == "0") return false;
      return std::nullopt;
    }
    const auto* value = std::get_if<bool>(&node.value);
    return value ? std::optional(*value) : std::nullopt;
  }
  std::string rule(Value) const { return {}; }
  decltype(Node::value) node(Value value) const { return value; }
};

struct TextKind {
  using Value = std::string;
  const std::vector<std::string>& choices;

  static const char* name() { return "a string"; }
  std::optional<Value> from(const Node& node) const {
    if (const auto* raw = std::get_if<Raw>(&node.value)) return unquoted(raw->text);
    const auto* value = std::get_if<std::string>(&node.value);
    return value ? std::optional(*value) : std::nullopt;
  }
  std::string rule(const Value& value) const {
    if (choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end()) return {};
    return "one of " + join_names(choices) + did_you_mean(value, choices);
  }
  decltype(Node::value) node(const Value& value) const { return value; }
};

template <class Kind>
struct ListKind {
  using Value = std::vector<typename Kind::Value>;
  Kind item;

  static std::string name() { return std::string("a list, each item ") + Kind::name(); }
  std::optional<Value> from(const Node& node) const {
    Array items;
    if (const auto* raw = std::get_if<Raw>(&node.value)) {
      std::string_view text = trim(raw->text);
      if (text.size() >= 2 && text.front() == '[' && text.back() == ']') text = trim(text.substr(1, text.size() - 2));
      if (!text.empty())
        for (const auto& part : split(text, ',')) items.push_back({.value = Raw{part}});
    } else if (const auto* array = std::get_if<Array>(&node.value)) {
      items = *array;
    } else {
      return std::nullopt;
    }
    Value values;
    for (const auto& item_node : items) {
      auto value = item.from(item_node);
      if (!value) return std::nullopt;
      values.push_back(std::move(*value));
    }
    return values;
  }
  std::string rule(const Value& values) const {
    for (size_t i = 0; i < values.size(); ++i)
      if (auto broken = item.rule(values[i]); !broken.empty()) return join("a list whose items are ", broken);
    return {};
  }
  decltype(Node::value) node(const Value& values) const {
    Array array;
    for (const auto& value : values) array.push_back({.value = item.node(value)});
    return array;
  }
};

}  // namespace polyphony::config_detail
