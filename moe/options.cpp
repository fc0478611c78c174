// SPDX-License-Identifier: Apache-2.0
#include "moe/options.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace polyphony::moe {
namespace {

std::string interval(const NumberRange& r) {
  const double low = std::max(r.min, r.above), high = std::min(r.max, r.below);
  if (std::isinf(low) && std::isinf(high)) return "";
  if (std::isinf(high)) return join(r.above >= r.min ? " above " : " from ", low);
  if (std::isinf(low)) return join(r.below <= r.max ? " below " : " up to ", high);
  return join(" in ", r.above >= r.min ? "(" : "[", low, ", ", high, r.below <= r.max ? ")" : "]");
}

bool in_range(double value, const NumberRange& r) {
  return std::isfinite(value) && value >= r.min && value <= r.max && value > r.above && value < r.below;
}

IntegerRange integer_range(const NumberRange& r) {
  IntegerRange range;
  if (std::isfinite(r.min)) range.min = static_cast<int64_t>(r.min);
  if (std::isfinite(r.max)) range.max = static_cast<int64_t>(r.max);
  return range;
}

}  // namespace

std::string to_text(const OptionValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&value)) return '"' + *text + '"';
  if (const auto* integer = std::get_if<int64_t>(&value)) return join(*integer);
  return join(std::get<double>(value));
}

std::string allowed_text(const OptionValue& value, const NumberRange& range, const std::vector<std::string>& choices) {
  if (std::holds_alternative<bool>(value)) return "flag";
  if (std::holds_alternative<int64_t>(value)) return "integer" + interval(range);
  if (std::holds_alternative<double>(value)) return "number" + interval(range);
  std::string names;
  for (const auto& choice : choices) names += (names.empty() ? "" : " | ") + choice;
  return names.empty() ? "text" : names;
}

void check_option(std::string_view key, const OptionValue& value, const NumberRange& range,
                  const std::vector<std::string>& choices) {
  bool holds = true;
  if (const auto* integer = std::get_if<int64_t>(&value)) holds = in_range(static_cast<double>(*integer), range);
  if (const auto* number = std::get_if<double>(&value)) holds = in_range(*number, range);
  if (const auto* text = std::get_if<std::string>(&value))
    holds = choices.empty() || std::find(choices.begin(), choices.end(), *text) != choices.end();
  if (!holds)
    fail<ConfigError>("[moe] ", key, " must be ", allowed_text(value, range, choices), ", got ", to_text(value));
}

OptionValue read_option(const Section& section, std::string_view key, const OptionValue& value,
                        const NumberRange& range, const std::vector<std::string>& choices) {
  if (const auto* flag = std::get_if<bool>(&value)) return section.flag(key, *flag);
  if (const auto* integer = std::get_if<int64_t>(&value)) return section.integer(key, *integer, integer_range(range));
  if (const auto* number = std::get_if<double>(&value)) return section.number(key, *number, range);
  return section.text(key, std::get<std::string>(value), choices);
}

}  // namespace polyphony::moe
