// SPDX-License-Identifier: Apache-2.0
// The [moe] table of a recipe, in the ecosystem's key names where there are any.
#include "core/base/config.h"
#include "core/check.h"
#include "moe/moe_layer.h"

namespace polyphony::moe {
namespace {

std::vector<Modality> read_modalities(const Section& section) {
  const std::vector<std::string> names(kModalityNames.begin(), kModalityNames.end());
  std::vector<Modality> modalities;
  for (const auto& name : section.texts("modalities", {}, names)) modalities.push_back(*modality_from_name(name));
  return modalities;
}

}  // namespace

MoEConfig MoEConfig::from(const Section& section, int64_t model_dim) {
  MoEConfig config;
  config.router = read_router(section);
  config.router.model_dim = model_dim;
  config.experts.name = section.text("experts", config.experts.name);
  config.experts.expert_hidden = section.required_integer("expert_hidden", {.min = 1});
  config.experts.activation = section.text("activation", config.experts.activation, {"silu", "gelu"});
  config.experts.compute_dtype = section.text("compute_dtype", config.experts.compute_dtype, {"float32", "bfloat16"});
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
