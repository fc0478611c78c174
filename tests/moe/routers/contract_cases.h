// SPDX-License-Identifier: Apache-2.0
// The settings under which the contract is tested: four for every router in the registry, and published ones by name.
#pragma once
#include <string>
#include <vector>

#include "tests/moe/routers/support.h"

namespace polyphony::moe {

struct RouterCase {
  std::string label;
  RouterConfig config;
  std::vector<ExpertGroup> groups;
};

inline std::vector<ExpertGroup> modality_groups() {
  return {{.name = "text", .modalities = {Modality::text}, .num_experts = 4},
          {.name = "image", .modalities = {Modality::image}, .num_experts = 3},
          {.name = "common", .modalities = {}, .num_experts = 1}};
}

inline std::vector<RouterCase> router_cases() {
  std::vector<RouterCase> cases;
  const auto add = [&cases](const std::string& router, const std::string& label, RouterConfig config,
                            std::vector<ExpertGroup> groups = {}) {
    config.name = router;
    config.model_dim = kWidth;
    config.state_dim = 12;
    if (config.num_experts == 0) config.num_experts = 8;
    if (groups.empty()) groups = one_group(config.num_experts);
    cases.push_back({router + "_" + label, config, groups});
  };
  const std::vector<ExpertGroup> few_for_images = {
      {.name = "text", .modalities = {Modality::text}, .num_experts = 7},
      {.name = "image", .modalities = {Modality::image}, .num_experts = 1}};
  for (const auto& row : router_infos()) {
    add(row.name, "plain", {});
    add(row.name, "modality_groups", {}, modality_groups());
    add(row.name, "few_for_images", {}, few_for_images);
    add(row.name, "one_expert", {.num_experts = 1, .experts_per_token = 1});
  }
  add("topk", "jitter", {.jitter = 0.1});
  add("topk", "olmoe", {.normalise = "none"});
  add("topk", "ernie_vl", {.normalise = "clamp", .choice_bias = true}, modality_groups());
  add("topk", "deepseek_v2", {.normalise = "none", .scale = 16, .num_groups = 4, .groups_per_token = 2});
  add("topk", "deepseek_v3",
      {.score = "sigmoid",
       .normalise = "sum_eps",
       .scale = 2.5,
       .choice_bias = true,
       .num_groups = 4,
       .groups_per_token = 2,
       .group_score = "sum_top2"},
      modality_groups());
  add("topk", "aria", {.score = "raw", .weight_from = "softmax_selected"}, modality_groups());
  add("topk", "llama4", {.experts_per_token = 1, .score = "raw", .weight_from = "sigmoid_logit", .normalise = "none"});
  add("topk", "ming", {.gate_per_modality = true});
  add("top_p", "all", {.top_p = 1.0});
  add("null_experts", "with_nulls", {.experts_per_token = 3, .num_null = 5}, modality_groups());
  add("expert_choice", "sigmoid", {.score = "sigmoid"}, modality_groups());
  add("expert_choice", "wide", {.capacity_factor = 3.0});
  return cases;
}

}  // namespace polyphony::moe
