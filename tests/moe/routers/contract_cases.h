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
    config.num_layers = 2;
    if (router_takes(router, "state_dim")) config.state_dim = 12;
    if (config.num_experts == 0) config.num_experts = 8;
    if (groups.empty()) groups = one_group(config.num_experts);
    cases.push_back({router + "_" + label, config, groups});
  };
  const std::vector<ExpertGroup> few_for_images = {
      {.name = "text", .modalities = {Modality::text}, .num_experts = 7},
      {.name = "image", .modalities = {Modality::image}, .num_experts = 1}};
  for (const auto& row : router_infos()) {
    const auto defaults = router_defaults(row.name);
    add(row.name, "plain", defaults);
    add(row.name, "modality_groups", defaults, modality_groups());
    add(row.name, "few_for_images", defaults, few_for_images);
    auto one = defaults;
    one.num_experts = 1;
    if (router_takes(row.name, "experts_per_token")) one.experts_per_token = 1;
    add(row.name, "one_expert", one);
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
  add("expert_choice", "per_sample", {.scope = "sample"}, modality_groups());
  add("gshard", "all", {.second_policy = "all"});
  add("gshard", "none", {.normalise = "none", .second_policy = "none"});
  add("gshard", "threshold", {.second_choice = "gumbel", .second_policy = "threshold", .second_threshold = 0.3});
  add("noisy_topk", "fixed", {.noise = "fixed"}, modality_groups());
  add("laplace", "gaussian", {.distance_power = 2});
  add("sparse_mixer", "wide", {.mixer_epsilon = 0.3}, modality_groups());
  add("dynamic_capacity", "nulls_and_shared", {.shared_expert = true, .top_p = 0.7, .num_null = 2}, modality_groups());
  add("gating_residual", "two_layers", {.num_null = 2, .gate_hidden = 10}, modality_groups());
  add("dense_to_sparse", "cold", {.temperature_end = 0.05, .temperature_steps = 0, .gate_activation = "tanh"});
  add("dense_to_sparse", "hard", {.hard_after = 0});
  add("dense_training", "threshold", {.gate_threshold = 0.2}, modality_groups());
  add("dselect_k", "six_experts", {.num_experts = 6, .experts_per_token = 3});
  add("tree", "five_experts_search", {.num_experts = 5, .temperature_end = 0.1, .step_width = 2, .search_steps = 4});
  add("mixture_of_depths", "predictor", {.inference = "predictor"}, modality_groups());
  add("mixture_of_depths", "all", {.depth_capacity = 1.0});
  add("stochastic", "sample", {.experts_per_token = 2, .draw = "sample"}, modality_groups());
  add("stochastic", "average", {.draw = "average"}, modality_groups());
  add("soft", "two_slots", {.slots_per_expert = 2}, modality_groups());
  add("patch_select", "roomy_sum", {.capacity_factor = 4, .combine = "sum"}, modality_groups());
  add("patch_select", "ungated", {.combine = "none"});
  add("attention_weighted", "sample", {.history = "sample"}, modality_groups());
  add("label_aware", "null_label", {.experts_per_token = 1, .null_label = 3});
  add("label_aware", "null_label_groups", {.experts_per_token = 1, .null_label = 3}, modality_groups());
  add("sample_select", "flattened", {.sample_tokens = 24}, modality_groups());
  add("hash", "label", {.hash_of = "label"});
  return cases;
}

}  // namespace polyphony::moe
