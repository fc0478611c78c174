// SPDX-License-Identifier: Apache-2.0
// The keys of a recipe that fill a config value: one table says how each is read, checked, listed and stored.
//
//   inline const std::vector<Option<RouterConfig>> kOptions = {
//       {"top_p", &RouterConfig::top_p, "share of probability that a token's experts must pass", {.min = 0, .max =
//       1}}};
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/config.h"

namespace polyphony::moe {

using OptionValue = std::variant<bool, int64_t, double, std::string>;

// One key of a table and the field of Config that it fills. The range is of integers and numbers, the choices of texts.
template <class Config>
struct Option {
  std::string_view key;
  std::variant<bool Config::*, int64_t Config::*, double Config::*, std::string Config::*> field;
  std::string_view summary;
  NumberRange range = {};
  std::vector<std::string> choices = {};
};

// An option as text, for lists.
struct OptionInfo {
  std::string key;
  std::string allowed;        // "flag", "integer in [1, 8]", "softmax | sigmoid"
  std::string default_value;  // as a recipe would write it
  std::string summary;
};

std::string to_text(const OptionValue& value);
std::string allowed_text(const OptionValue& value, const NumberRange& range, const std::vector<std::string>& choices);
// Throws ConfigError "[moe] <key> must be <allowed>, got <value>".
void check_option(std::string_view key, const OptionValue& value, const NumberRange& range,
                  const std::vector<std::string>& choices);
// The value of the key if it was given, else `value`; of the same kind. Throws ConfigError naming file and line.
OptionValue read_option(const Section& section, std::string_view key, const OptionValue& value,
                        const NumberRange& range, const std::vector<std::string>& choices);

template <class Config>
OptionValue value_of(const Option<Config>& option, const Config& config) {
  return std::visit([&](auto field) -> OptionValue { return config.*field; }, option.field);
}

template <class Config>
void read_option(const Section& section, const Option<Config>& option, Config& config) {
  const auto value = read_option(section, option.key, value_of(option, config), option.range, option.choices);
  std::visit([&](auto field) { config.*field = std::get<std::remove_reference_t<decltype(config.*field)>>(value); },
             option.field);
}

template <class Config>
void check_option(const Option<Config>& option, const Config& config) {
  check_option(option.key, value_of(option, config), option.range, option.choices);
}

template <class Config>
OptionInfo option_info(const Option<Config>& option, const Config& defaults) {
  const auto value = value_of(option, defaults);
  return {.key = std::string(option.key),
          .allowed = allowed_text(value, option.range, option.choices),
          .default_value = to_text(value),
          .summary = std::string(option.summary)};
}

}  // namespace polyphony::moe
