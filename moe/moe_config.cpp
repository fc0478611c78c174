// SPDX-License-Identifier: Apache-2.0
// The [moe] table of a recipe, in the ecosystem's key names where there are any.
#include <nlohmann/json.hpp>

#include "core/base/config.h"
#include "core/check.h"
#include "moe/moe_layer.h"

namespace polyphony::moe {
namespace {

constexpr std::string_view kWidth = "expert_hidden";

std::vector<Modality> read_modalities(const Section& section) {
  const std::vector<std::string> names(kModalityNames.begin(), kModalityNames.end());
  std::vector<Modality> modalities;
  for (const auto& name : section.texts("modalities", {}, names)) modalities.push_back(*modality_from_name(name));
  return modalities;
}

ExpertBankConfig read_experts(const Section& s) {
  ExpertBankConfig c;
  c.name = s.text("experts", c.name);
  for (const auto& option : expert_bank_options())
    if (option.key != kWidth && (expert_bank_takes(c.name, option.key) || s.has(option.key))) read_option(s, option, c);
  return c;
}

CapacityConfig read_capacity(const Section& s) {
  CapacityConfig c;
  if (!s.given()) return c;
  for (const auto& option : capacity_options()) read_option(s, option, c);
  return c;
}

void set(nlohmann::ordered_json& json, std::string_view key, const OptionValue& value) {
  std::visit([&](const auto& v) { json[std::string(key)] = v; }, value);
}

}  // namespace

MoEConfig read_moe_choices(const Section& section) {
  MoEConfig config;
  config.router = read_router(section);
  config.experts = read_experts(section);
  config.capacity = read_capacity(section.section("capacity"));
  for (const auto& loss : section.sections("losses")) config.losses.push_back(LossConfig::from(loss));
  config.shared_gate = section.text("shared_gate", config.shared_gate, {"none", "sigmoid", "residual"});
  return config;
}

nlohmann::ordered_json moe_choices_json(const MoEConfig& c) {
  nlohmann::ordered_json json;
  for (const auto& [key, value] : router_values(c.router)) set(json, key, value);
  json["experts"] = c.experts.name;
  for (const auto& option : expert_bank_options())
    if (expert_bank_takes(c.experts.name, option.key)) set(json, option.key, value_of(option, c.experts));
  json["shared_gate"] = c.shared_gate;
  if (c.capacity.factor != 0 || c.capacity.eval_factor != 0)
    for (const auto& option : capacity_options()) set(json["capacity"], option.key, value_of(option, c.capacity));
  for (const auto& loss : c.losses) {
    nlohmann::ordered_json table = {{"name", loss.name}};
    for (const auto& option : loss_options())
      if (value_of(option, loss) != value_of(option, LossConfig{})) set(table, option.key, value_of(option, loss));
    json["losses"].push_back(std::move(table));
  }
  return json;
}

MoEConfig MoEConfig::from(const Section& section, int64_t model_dim) {
  auto config = read_moe_choices(section);
  config.router.model_dim = model_dim;
  if (expert_bank_takes(config.experts.name, kWidth))
    config.experts.expert_hidden = section.required_integer(std::string(kWidth), {.min = 1});
  config.experts_by_layer = section.integers("experts_by_layer", {}, {.min = 1});
  if (config.router.num_experts == 0 && !config.experts_by_layer.empty())
    config.router.num_experts = config.experts_by_layer.back();
  config.shared_hidden = section.integer("shared_hidden", 0, {.min = 0});
  config.modalities = read_modalities(section);
  for (const auto& group : section.sections("groups"))
    config.groups.push_back({.name = group.required_text("name"),
                             .modalities = read_modalities(group),
                             .num_experts = group.required_integer("num_experts", {.min = 1})});
  section.require(config.router.num_experts > 0 || !config.groups.empty(), "num_experts",
                  "must be given, or [[moe.groups]] with a num_experts each");
  return resolved(std::move(config));
}

}  // namespace polyphony::moe
