// SPDX-License-Identifier: Apache-2.0
// TOML text <-> the config tree. The only file that sees toml++.
namespace polyphony::config_detail {

// toml++ 3.3 asserts on some malformed texts ("[[`" is one) instead of reporting them; with NDEBUG it would assume
// instead. So its assertions throw this.
struct TomlAssertion {};
[[noreturn]] inline void toml_assertion_failed() { throw TomlAssertion{}; }

}  // namespace polyphony::config_detail

#undef NDEBUG
#define TOML_ASSERT(holds) (static_cast<bool>(holds) ? void() : polyphony::config_detail::toml_assertion_failed())
#define TOML_HEADER_ONLY 1
#define TOML_MAX_NESTED_VALUES 64
#include <toml++/toml.h>

#include <algorithm>

#include "core/base/config_node.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::config_detail {

static_assert(kMaxDepth == TOML_MAX_NESTED_VALUES);

namespace {

// toml++ bounds nested values but not dotted keys, and it destroys its tables recursively: a megabyte of "a.a.a." would
// end the stack. So a key's dots are counted before parsing; strings and comments are skipped.
void check_key_depth(std::string_view text, const std::string& name) {
  int dots = 0;
  int64_t line = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      const std::string triple(3, c);
      const bool multiline = text.substr(i, 3) == triple;
      size_t j = i + (multiline ? 3 : 1);
      for (; j < text.size() && (multiline ? text.substr(j, 3) != triple : text[j] != c && text[j] != '\n'); ++j) {
        if (text[j] == '\n') ++line;
        if (c == '"' && text[j] == '\\' && j + 1 < text.size() && text[j + 1] != '\n') ++j;
      }
      i = j + (multiline ? 2 : 0);
      if (i < text.size() && text[i] == '\n') --i;  // an unclosed string ends at its line
    } else if (c == '#') {
      while (i + 1 < text.size() && text[i + 1] != '\n') ++i;
    } else if (c == '.') {
      check<ConfigError>(++dots < kMaxDepth, name, ":", line, ": expected at most ", kMaxDepth,
                         " names in a dotted key, got more");
    } else if (c == '\n' || c == '=' || c == ',' || c == '[' || c == '{') {
      dots = 0;
      if (c == '\n') ++line;
    }
  }
}

std::string line_of(std::string_view text, int64_t line) {
  for (; line > 1; --line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return printable(trim(text.substr(0, text.find('\n'))), 120);
}

struct Place {
  const std::string& name;
  int64_t line;
  int depth;
};

Node convert(const toml::node& from, Place place);

// toml++ sorts keys by name; this puts them back into the order of the file.
Table convert_table(const toml::table& from, const Place& place) {
  std::vector<std::pair<toml::source_position, Entry>> entries;
  for (const auto& [key, value] : from) {
    const auto begin = key.source().begin;
    const Place inner = {place.name, begin.line > 0 ? static_cast<int64_t>(begin.line) : place.line, place.depth + 1};
    Node node = convert(value, inner);
    // A key's own line is the better one to name, also where its value starts later.
    node.where = join(inner.name, ":", inner.line);
    entries.emplace_back(begin, Entry{std::string(key.str()), std::move(node)});
  }
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Table table;
  for (auto& [begin, entry] : entries) table.push_back(std::move(entry));
  return table;
}

Node convert(const toml::node& from, Place place) {
  if (from.source().begin.line > 0) place.line = static_cast<int64_t>(from.source().begin.line);
  Node to{.value = Null{}, .where = join(place.name, ":", place.line)};
  check<ConfigError>(place.depth <= kMaxDepth, to.where, ": expected at most ", kMaxDepth, " nested tables, got more");
  switch (from.type()) {
    case toml::node_type::boolean:
      to.value = **from.as_boolean();
      break;
    case toml::node_type::integer:
      to.value = **from.as_integer();
      break;
    case toml::node_type::floating_point:
      to.value = **from.as_floating_point();
      break;
    case toml::node_type::string:
      to.value = **from.as_string();
      break;
    case toml::node_type::table:
      to.value = convert_table(*from.as_table(), place);
      break;
    case toml::node_type::array: {
      Array array;
      for (const auto& item : *from.as_array())
        array.push_back(convert(item, {place.name, place.line, place.depth + 1}));
      to.value = std::move(array);
      break;
    }
    default:
      fail<ConfigError>(to.where, ": expected a string, number, flag, list or table, got a date (quote it)");
  }
  return to;
}

bool asserts(std::string_view text) {
  try {
    static_cast<void>(toml::parse(text));
  } catch (const TomlAssertion&) {
    return true;
  } catch (const toml::parse_error&) {
    return false;
  }
  return false;
}

// The line on which toml++'s assertion fails: the first whose prefix of the text fails too.
int64_t asserting_line(std::string_view text) {
  std::vector<size_t> ends;
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', end + 1)) ends.push_back(end);
  const auto first =
      std::partition_point(ends.begin(), ends.end(), [&](size_t end) { return !asserts(text.substr(0, end)); });
  return 1 + (first - ends.begin());
}

}  // namespace

Node parse_toml(std::string_view text, const std::string& name) {
  check_key_depth(text, name);
  try {
    return convert(toml::parse(text, name), {name, 1, 0});
  } catch (const toml::parse_error& error) {
    const auto line = static_cast<int64_t>(error.source().begin.line);
    fail<ConfigError>(name, ":", line, ":", error.source().begin.column, ": ", printable(error.description(), 300),
                      "\n    ", line_of(text, line));
  } catch (const TomlAssertion&) {
    const int64_t line = asserting_line(text);
    fail<ConfigError>(name, ":", line, ":1: expected TOML, got a malformed line\n    ", line_of(text, line));
  }
}

}  // namespace polyphony::config_detail
