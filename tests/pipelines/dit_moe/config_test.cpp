// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "pipelines/dit_moe/model.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

struct Published {
  const char* preset;
  int64_t total, active;
};

// Computed from the published shapes; arXiv:2407.11633, table 1 has them rounded (199M, 369M, 795M, 2.8B, 4.1B, 16.5B).
constexpr Published kPublished[] = {
    {"S/2-8E2A", 199'209'248, 71'807'264},       {"S/2-16E2A", 369'115'424, 71'844'128},
    {"B/2-8E2A", 795'664'928, 286'056'992},      {"L/2-8E2A", 2'823'501'856, 1'011'562'528},
    {"XL/2-8E2A", 4'167'877'280, 1'492'435'616}, {"G/2-16E2A", 16'503'370'784, 3'181'212'704},
};

TEST(DitMoeConfig, PresetsHaveThePublishedParameterCounts) {
  for (const auto& [preset, total, active] : kPublished) {
    const auto config = dit_moe_preset(preset);
    EXPECT_EQ(count_parameters(config), (ParameterCount{total, active})) << preset;
    const int64_t idle = config.num_experts - config.num_experts_per_tok;
    EXPECT_EQ(total - active, idle * 12 * config.hidden_size * config.hidden_size * config.depth) << preset;
  }
}

TEST(DitMoeConfig, HasEverySizeWithEightAndSixteenExperts) {
  EXPECT_EQ(dit_moe_preset_names().size(), 10u);
  for (const auto& name : dit_moe_preset_names()) {
    const auto config = dit_moe_preset(name);
    EXPECT_NO_THROW(check_dit_moe_config(config)) << name;
    EXPECT_EQ(config.qk_norm, name.starts_with("XL") || name.starts_with("G")) << name;
    EXPECT_EQ(config.hidden_size % config.num_heads, 0) << name;
  }
  EXPECT_REFUSED(ConfigError, dit_moe_preset("S/2-9E2A"), "S/2-8E2A", "S/2-9E2A");
}

DitMoeConfig tiny() {
  return {.input_size = 4, .hidden_size = 24, .depth = 2, .num_heads = 3, .num_classes = 5, .num_experts = 3};
}

int64_t learned(const DitMoeConfig& config) {
  int64_t count = 0;
  for (const auto& parameter : DitMoe(config).parameters()) count += parameter.numel();
  return count;
}

TEST(DitMoeConfig, ArithmeticCountsWhatAModelReallyHas) {
  auto config = tiny();
  EXPECT_EQ(count_parameters(config).total, learned(config));
  config.qk_norm = true;
  config.learn_sigma = false;
  config.num_shared_experts = 0;
  config.mlp_ratio = 2;
  config.patch_size = 4;
  EXPECT_EQ(count_parameters(config).total, learned(config));
}

TEST(DitMoeConfig, ReadsBackWhatItWrites) {
  auto config = tiny();
  config.qk_norm = true;
  config.norm_topk_prob = true;
  config.aux_loss_alpha = 0.005;
  config.norm_eps = 1e-5;
  config.timestep_scale = 1000;
  config.timestep_period_shift = 1;
  const auto parsed = parse_dit_moe_config(nlohmann::json::parse(dit_moe_config_json(config)), "config.json");
  EXPECT_EQ(parsed.config, config);
  EXPECT_TRUE(parsed.warnings.empty());
}

TEST(DitMoeConfig, WarnsOfUnknownKeysAndNamesWrongOnes) {
  const auto parse = [](const char* text) { return parse_dit_moe_config(nlohmann::json::parse(text), "c.json"); };
  EXPECT_EQ(parse(R"({"seq_aux": false})").warnings.size(), 1u);
  EXPECT_EQ(parse(R"({"mlp_ratio": 4.0})").config.mlp_ratio, 4);
  EXPECT_REFUSED(DataError, parse(R"({"depth": "3"})"), "[c.json]", "'depth'", "integer");
  EXPECT_REFUSED(DataError, parse(R"({"learn_sigma": 1})"), "learn_sigma", "true or false");
  EXPECT_REFUSED(DataError, parse(R"({"num_experts": 2, "num_experts_per_tok": 3})"), "num_experts_per_tok", "[1, 2]");
  EXPECT_REFUSED(DataError, parse(R"({"hidden_size": 384, "num_heads": 7})"), "num_heads", "divide hidden_size 384");
  EXPECT_REFUSED(DataError, parse(R"({"input_size": 9})"), "patch_size", "divide input_size 9");
  EXPECT_REFUSED(DataError, parse(R"({"mlp_ratio": 2.5})"), "mlp_ratio", "whole number");
  EXPECT_REFUSED(DataError, parse(R"({"use_flash_attn": true, "qk_norm": false})"), "must be equal");
}

}  // namespace
}  // namespace polyphony::pipelines
