// SPDX-License-Identifier: Apache-2.0
// Section: typed, range-checked reading of keys.
#include <algorithm>

#include "core/base/config.h"
#include "core/base/config_kinds.h"
#include "core/base/config_state.h"
#include "core/check.h"

namespace polyphony {

using namespace config_detail;

Section::Section(std::shared_ptr<State> state, Node* given, Node* resolved, std::string path)
    : state_(std::move(state)), given_(given), resolved_(resolved), path_(std::move(path)) {}

std::string Section::full_name(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

// The given value, marked as known; null if absent.
Node* Section::child(std::string_view key) const {
  Node* node = given_ ? find(std::get<Table>(given_->value), key) : nullptr;
  if (node) node->used = true;
  return node;
}

template <class Kind>
typename Kind::Value Section::read(std::string_view key, const typename Kind::Value* default_value,
                                   const Kind& kind) const {
  Node& resolved = find_or_add(std::get<Table>(resolved_->value), key);
  const Node* node = child(key);
  if (!node) {
    check<ConfigError>(default_value != nullptr, given_ ? given_->where : state_->name, ": ", full_name(key),
                       " is missing: expected ", Kind::name());
    resolved = {.value = kind.node(*default_value), .where = "default"};
    return *default_value;
  }
  const auto value = kind.from(*node);
  check<ConfigError>(value.has_value(), node->where, ": ", full_name(key), ": expected ", Kind::name(), ", got ",
                     kind_name(*node), " ", shown(*node));
  const std::string rule = kind.rule(*value);
  check<ConfigError>(rule.empty(), node->where, ": ", full_name(key), ": expected ", rule, ", got ", shown(*node));
  resolved = {.value = kind.node(*value), .where = node->where};
  return *value;
}

int64_t Section::integer(std::string_view key, int64_t default_value, IntegerRange range) const {
  return read(key, &default_value, IntegerKind{range});
}
double Section::number(std::string_view key, double default_value, NumberRange range) const {
  return read(key, &default_value, NumberKind{range});
}
bool Section::flag(std::string_view key, bool default_value) const { return read(key, &default_value, FlagKind{}); }
std::string Section::text(std::string_view key, std::string_view default_value,
                          const std::vector<std::string>& choices) const {
  const std::string value(default_value);
  return read(key, &value, TextKind{choices});
}
std::vector<int64_t> Section::integers(std::string_view key, const std::vector<int64_t>& default_value,
                                       IntegerRange range) const {
  return read(key, &default_value, ListKind<IntegerKind>{{range}});
}
std::vector<double> Section::numbers(std::string_view key, const std::vector<double>& default_value,
                                     NumberRange range) const {
  return read(key, &default_value, ListKind<NumberKind>{{range}});
}
std::vector<std::string> Section::texts(std::string_view key, const std::vector<std::string>& default_value,
                                        const std::vector<std::string>& choices) const {
  return read(key, &default_value, ListKind<TextKind>{{choices}});
}

int64_t Section::required_integer(std::string_view key, IntegerRange range) const {
  return read(key, nullptr, IntegerKind{range});
}
double Section::required_number(std::string_view key, NumberRange range) const {
  return read(key, nullptr, NumberKind{range});
}
bool Section::required_flag(std::string_view key) const { return read(key, nullptr, FlagKind{}); }
std::string Section::required_text(std::string_view key, const std::vector<std::string>& choices) const {
  return read(key, nullptr, TextKind{choices});
}
std::vector<int64_t> Section::required_integers(std::string_view key, IntegerRange range) const {
  return read(key, nullptr, ListKind<IntegerKind>{{range}});
}
std::vector<double> Section::required_numbers(std::string_view key, NumberRange range) const {
  return read(key, nullptr, ListKind<NumberKind>{{range}});
}
std::vector<std::string> Section::required_texts(std::string_view key, const std::vector<std::string>& choices) const {
  return read(key, nullptr, ListKind<TextKind>{{choices}});
}

Section Section::section(std::string_view name) const {
  Node& resolved = find_or_add(std::get<Table>(resolved_->value), name);
  Node* node = child(name);
  check<ConfigError>(!node || std::holds_alternative<Table>(node->value), node ? node->where : "", ": ",
                     full_name(name), ": expected a table [", full_name(name), "], got ", node ? kind_name(*node) : "");
  if (!std::holds_alternative<Table>(resolved.value)) resolved = make_table("default");
  return Section(state_, node, &resolved, full_name(name));
}

std::vector<Section> Section::sections(std::string_view name) const {
  Node& resolved = find_or_add(std::get<Table>(resolved_->value), name);
  Node* node = child(name);
  if (!node) return {};
  auto* array = std::get_if<Array>(&node->value);
  const bool of_tables = array && std::all_of(array->begin(), array->end(), [](const Node& item) {
                           return std::holds_alternative<Table>(item.value);
                         });
  check<ConfigError>(of_tables, node->where, ": ", full_name(name), ": expected tables [[", full_name(name), "]], got ",
                     kind_name(*node), " ", shown(*node));
  // Sections keep pointers into the resolved list: it is sized once, and a second read finds it as it was.
  auto* read_before = std::get_if<Array>(&resolved.value);
  if (!read_before || read_before->size() != array->size()) {
    resolved.value = Array(array->size(), make_table(node->where));
    read_before = std::get_if<Array>(&resolved.value);
  }
  std::vector<Section> out;
  for (size_t i = 0; i < array->size(); ++i)
    out.push_back(Section(state_, &(*array)[i], &(*read_before)[i], join(full_name(name), "[", i, "]")));
  return out;
}

bool Section::has(std::string_view key) const {
  find_or_add(std::get<Table>(resolved_->value), key);
  return given_ && find(std::get<Table>(given_->value), key) != nullptr;
}

bool Section::given() const { return given_ != nullptr; }

std::vector<std::string> Section::keys() const {
  std::vector<std::string> out;
  if (given_)
    for (const auto& entry : std::get<Table>(given_->value)) out.push_back(entry.key);
  return out;
}

void Section::ignore(std::string_view key) const {
  find_or_add(std::get<Table>(resolved_->value), key);
  if (Node* node = child(key)) node->ignored = true;
}

std::string Section::where(std::string_view key) const {
  const Node* node = given_ ? find(std::get<Table>(given_->value), key) : nullptr;
  if (node) return join(node->where, ": ", full_name(key), " = ", shown(*node));
  return join(given_ ? given_->where : state_->name, ": ", full_name(key), " (default)");
}

void Section::require(bool holds, std::string_view key, std::string_view rule) const {
  check<ConfigError>(holds, where(key), ": ", rule);
}

}  // namespace polyphony
