// SPDX-License-Identifier: Apache-2.0
// Every router of the registry in DiT-MoE: it trains, it draws, and config.json keeps it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "pipelines/dit_moe/folder.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

class DitMoeRouter : public ::testing::TestWithParam<std::string> {
 protected:
  static DitMoeConfig config() {
    DitMoeConfig c{.input_size = 4, .hidden_size = 16, .depth = 3, .num_heads = 2, .num_classes = 5, .num_experts = 4};
    c.layer.router = moe::router_defaults(GetParam());
    return c;
  }
  static DitMoeInput input() {
    at::manual_seed(3);
    return {.x_BCHW = at::randn({2, 4, 4, 4}), .t_B = at::rand({2}), .y_B = at::tensor({1, 5}, at::kLong)};
  }
};

TEST_P(DitMoeRouter, TrainsWithFiniteGradientsAndDrawsTheSameTwice) {
  at::manual_seed(1);
  DitMoe model(config());
  {
    const at::NoGradGuard no_grad;
    for (auto& item : model.named_parameters())
      if (item.key().find("moe.gate.") == std::string::npos) item.value().normal_(0, 0.2);
  }
  const auto out = model.forward(input(), {.step = 7});
  (out.out_BCHW.square().sum() + model.balance_loss(out.routings)).backward();
  for (const auto& item : model.named_parameters())
    if (item.value().grad().defined()) {
      EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
    }
  model.eval();
  EXPECT_TRUE(at::equal(model.forward(input()).out_BCHW, model.forward(input()).out_BCHW));
}

TEST_P(DitMoeRouter, IsKeptInTheConfigFile) {
  const auto c = config();
  const auto text = dit_moe_config_json(c);
  const auto parsed = parse_dit_moe_config(nlohmann::json::parse(text), "config.json");
  EXPECT_TRUE(parsed.warnings.empty());
  EXPECT_EQ(parsed.config, c) << text;
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& info : moe::router_infos()) all.push_back(info.name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Registry, DitMoeRouter, ::testing::ValuesIn(names()),
                         [](const auto& param) { return param.param; });

TEST(DitMoeRouterConfig, GivesUnconditionalSamplesTheirOwnExpert) {
  DitMoeConfig c{.num_classes = 5};
  c.layer.router = moe::router_defaults("label_aware");
  EXPECT_EQ(c.moe().router.null_label, 5);
  c.class_dropout_prob = 0;
  EXPECT_EQ(c.moe().router.null_label, -1);
}

// Any kind of experts, with a capacity and losses: trains, is written to a folder and read back.
class DitMoeExperts : public ::testing::TestWithParam<std::string> {};

TEST_P(DitMoeExperts, TrainsAndComesBackFromItsFolder) {
  at::manual_seed(5);
  DitMoeConfig c{.input_size = 4, .hidden_size = 16, .depth = 2, .num_heads = 2, .num_classes = 5, .num_experts = 8};
  c.layer.router = moe::router_defaults("sparse_mixer");
  c.layer.experts.name = GetParam();
  c.layer.capacity = {.factor = 1.0};
  c.layer.losses = {{.name = "router_z", .weight = 0.5}};
  c.layer.shared_gate = "sigmoid";
  DitMoe model(c);
  const DitMoeInput input{
      .x_BCHW = at::randn({2, 4, 4, 4}), .t_B = at::rand({2}), .y_B = at::tensor({1, 5}, at::kLong)};
  model.forward(input, {.step = 7}).out_BCHW.square().sum().backward();
  for (const auto& item : model.named_parameters())
    if (item.value().grad().defined()) {
      EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
    }
  EXPECT_THROW(model.pack(), ConfigError);
  const testing::TemporaryFolder folder;
  save_dit_moe(model, folder.path());
  const auto loaded = load_dit_moe(folder.path(), at::kFloat);
  EXPECT_EQ(loaded.model->config(), c);
  model.eval();
  loaded.model->eval();
  EXPECT_TRUE(at::equal(loaded.model->forward(input).out_BCHW, model.forward(input).out_BCHW));
}

std::vector<std::string> kinds_of_experts() {
  std::vector<std::string> all;
  for (const auto& info : moe::expert_bank_infos()) all.push_back(info.name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Registry, DitMoeExperts, ::testing::ValuesIn(kinds_of_experts()),
                         [](const auto& param) { return param.param; });

TEST(DitMoeRouterConfig, RefusesSizesThatBelongElsewhere) {
  auto json = nlohmann::json::parse(dit_moe_config_json({}));
  json["moe"] = {{"router", "hash"}, {"expert_hidden", 8}};
  EXPECT_THROW(parse_dit_moe_config(json, "config.json"), ConfigError);
}

TEST(DitMoeRouterConfig, RefusesWhatTheRouterOfAFileDoesNotTake) {
  auto json = nlohmann::json::parse(dit_moe_config_json({}));
  json["moe"] = {{"router", "hash"}, {"top_pp", 0.3}};
  EXPECT_THROW(parse_dit_moe_config(json, "config.json"), ConfigError);
}

}  // namespace
}  // namespace polyphony::pipelines
