// SPDX-License-Identifier: Apache-2.0
// [moe] router = "..." reaches every router in the joint trunk; those that cannot write word by word are refused.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "moe/router.h"
#include "pipelines/joint/folder.h"

namespace polyphony::pipelines {
namespace {

JointConfig read(const std::string& moe) {
  auto config = Config::from_string(
      "[model]\ndim = 32\ndepth = 3\nnum_heads = 2\nrope_axis_dims = [4, 6, 6]\n[moe]\nnum_experts = 4\n"
      "expert_hidden = 8\nshared_hidden = 8\n" +
          moe,
      "recipe.toml");
  auto c = joint_config(config);
  config.check_all_used();
  c.vocab_size = 50;
  return c;
}

class JointRouter : public testing::TestWithParam<std::string> {};

TEST_P(JointRouter, TrainsAndIsKeptInTheConfigFileOrSaysWhyNot) {
  const std::set<std::string> not_causal = {"expert_choice", "image_choice",  "mixture_of_depths", "soft",
                                            "pathway",       "sample_select", "patch_select"};
  const auto recipe = "router = \"" + GetParam() + "\"\n";
  if (not_causal.contains(GetParam())) {
    try {
      read(recipe);
      FAIL() << "expected ConfigError";
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("word by word"), std::string::npos) << error.what();
    }
    return;
  }
  at::manual_seed(1);
  const auto c = read(recipe);
  JointModel model(c);
  const auto out = model.forward({.texts = {.draw = {{5, 6, 7}}, .caption = {{8, 9}}, .caption_complete = true},
                                  .noisy_BCHW = at::ones({1, 4, 12, 12}),
                                  .t_B = at::full({1}, 0.7F),
                                  .pixels_NCHW = at::zeros({1, 3, 96, 96})},
                                 {.step = 7});
  (out.clean_BCHW.square().sum() + out.logits_PV.square().sum()).backward();
  for (const auto& item : model.named_parameters())
    if (item.value().grad().defined()) {
      EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
    }
  auto stored = Config::from_json_string(joint_config_json(c), "config.json");
  for (const char* key : {"vocab_size", "begin_id", "end_id"}) stored.section("model").ignore(key);
  EXPECT_EQ(joint_config(stored).backbone.moe.router, c.backbone.moe.router);
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& info : moe::router_infos()) all.push_back(info.name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Registry, JointRouter, testing::ValuesIn(names()),
                         [](const auto& param) { return param.param; });

TEST(JointRouterConfig, LetsExpertChoiceWriteOnceAPredictorDecides) {
  EXPECT_NO_THROW(read("router = \"expert_choice\"\ninference = \"predictor\"\n"));
}

TEST(JointRouterConfig, RefusesLabelsThatItHasNot) {
  EXPECT_THROW(read("router = \"label_aware\"\nnull_label = 3\n"), ConfigError);
  EXPECT_THROW(read("router = \"hash\"\nhash_of = \"label\"\n"), ConfigError);
}

TEST(JointRouterConfig, RefusesAHashTableThatDoesNotFitTheVocabulary) {
  const auto c = read("router = \"hash\"\nhash_vocab_size = 40\n");
  try {
    JointModel model(c);
    FAIL() << "expected ConfigError";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "[moe] hash_vocab_size must be at least 50, the vocabulary and the longest span, got 40");
  }
}

TEST(JointRouterConfig, RefusesMoreExpertsATokenThanThereAre) {
  EXPECT_THROW(read("router = \"topk\"\nexperts_per_token = 5\n"), ConfigError);
}

}  // namespace
}  // namespace polyphony::pipelines
