// SPDX-License-Identifier: Apache-2.0
// The MoE layer against the blocks of published models (scripts/golden/moe_layers.py made the file).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/tensor_io.h"
#include "moe/losses/load_balance.h"
#include "moe/moe_layer.h"

namespace polyphony::moe {
namespace {

const std::string kFile = POLYPHONY_SOURCE_DIR "/tests/golden/moe_layers/moe_layers.safetensors";

struct Golden {
  std::string name;
  RouterConfig router;
  int64_t shared_hidden = 0;
};

std::vector<Golden> published() {
  return {{"mixtral", {.normalise = "sum"}, 0},
          {"olmoe", {.normalise = "none"}, 0},
          {"ernie", {.normalise = "clamp", .choice_bias = true}, 12},
          {"deepseek_v2", {.normalise = "none", .scale = 16, .num_groups = 4, .groups_per_token = 2}, 12},
          {"deepseek_v3",
           {.score = "sigmoid",
            .normalise = "sum_eps",
            .scale = 2.5,
            .choice_bias = true,
            .num_groups = 4,
            .groups_per_token = 2,
            .group_score = "sum_top2"},
           6}};
}

class MoELayerGolden : public testing::TestWithParam<Golden> {};

MoEOutput run(const Golden& golden, const TensorMap& tensors) {
  auto weights = tensors;
  const auto x_TD = weights.extract("x").mapped();
  for (const auto* name : {"y", "balance"}) weights.erase(name);
  MoEConfig config{.router = golden.router, .experts = {.expert_hidden = 6}, .shared_hidden = golden.shared_hidden};
  config.router.model_dim = x_TD.size(1);
  config.router.num_experts = 8;
  config.router.experts_per_token = 3;
  MoELayer layer(config);
  layer.eval();
  load_into(layer, weights);
  return layer.forward({.x_TD = x_TD, .modality_T = at::zeros({x_TD.size(0)}, at::kByte)});
}

TEST_P(MoELayerGolden, GivesWhatThePublishedModelGives) {
  const auto tensors = load_tensors(kFile, GetParam().name + ".");
  const auto y = run(GetParam(), tensors).y_TD, expected = tensors.at("y");
  EXPECT_TRUE(at::allclose(y, expected, 1e-5, 1e-5))
      << "largest difference " << (y - expected).abs().max().item<float>();
}

INSTANTIATE_TEST_SUITE_P(Published, MoELayerGolden, testing::ValuesIn(published()),
                         [](const auto& param) { return param.param.name; });

TEST(LoadBalanceGolden, EqualsTheLossThatMixtralTrainsWith) {
  const auto tensors = load_tensors(kFile, "mixtral.");
  const auto loss = load_balance_loss(run(published().front(), tensors).routing, {.unit = LoadUnit::token});
  EXPECT_NEAR(loss.item<float>(), tensors.at("balance").item<float>(), 1e-5);
}

}  // namespace
}  // namespace polyphony::moe
