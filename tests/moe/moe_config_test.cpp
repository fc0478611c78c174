// SPDX-License-Identifier: Apache-2.0
// The [moe] table of a recipe.
#include <gtest/gtest.h>

#include "core/base/config.h"
#include "core/error.h"
#include "moe/moe_layer.h"

namespace polyphony::moe {
namespace {

MoEConfig read(const std::string& toml) {
  auto config = Config::from_string(toml, "test.toml");
  const auto moe = MoEConfig::from(config.section("moe"), 16);
  config.check_all_used();
  return moe;
}

TEST(MoEConfig, ReadsRouterExpertsAndGroups) {
  const auto c = read(R"(
[moe]
router = "topk"
experts_per_token = 3
score = "sigmoid"
normalise = "sum_eps"
routed_scaling_factor = 2.5
choice_bias = true
expert_hidden = 32
shared_hidden = 48
compute_dtype = "bfloat16"
modalities = ["text", "image"]
[[moe.groups]]
name = "words"
modalities = ["text"]
num_experts = 6
[[moe.groups]]
name = "common"
num_experts = 2
)");
  EXPECT_EQ(c.router.num_experts, 8);
  EXPECT_EQ(c.router.experts_per_token, 3);
  EXPECT_EQ(c.router.score, "sigmoid");
  EXPECT_DOUBLE_EQ(c.router.scale, 2.5);
  EXPECT_TRUE(c.router.choice_bias);
  EXPECT_EQ(c.experts.expert_hidden, 32);
  EXPECT_EQ(c.experts.compute_dtype, "bfloat16");
  EXPECT_EQ(c.shared_hidden, 48);
  ASSERT_EQ(c.groups.size(), 2U);
  EXPECT_EQ(c.groups[0].modalities, std::vector<Modality>{Modality::text});
  EXPECT_TRUE(c.groups[1].modalities.empty());
  EXPECT_NO_THROW(MoELayer{c});
}

TEST(MoEConfig, TakesOneGroupForAllFromTheNumberOfExperts) {
  const auto c = read("[moe]\nnum_experts = 4\nexpert_hidden = 8\n");
  ASSERT_EQ(c.groups.size(), 1U);
  EXPECT_EQ(c.groups[0].num_experts, 4);
}

TEST(MoEConfig, StartsExpertChoiceFromSigmoidScores) {
  EXPECT_EQ(read("[moe]\nrouter = \"expert_choice\"\nnum_experts = 4\nexpert_hidden = 8\n").router.score, "sigmoid");
}

TEST(MoEConfig, ReadsExpertsCapacityLossesAndThePyramid) {
  const auto c = read(R"(
[moe]
experts = "zero_computation"
expert_hidden = 8
num_constant = 1
num_experts = 6
shared_hidden = 8
shared_gate = "residual"
experts_by_layer = [4, 6]
[moe.capacity]
factor = 1.25
eval_factor = 2.0
policy = "random"
dear_share = 0.75
[[moe.losses]]
name = "heterogeneous_balance"
weight = 0.01
[[moe.losses]]
name = "router_z"
weight = 0.001
)");
  EXPECT_EQ(c.experts.name, "zero_computation");
  EXPECT_EQ(c.experts.num_constant, 1);
  EXPECT_EQ(c.shared_gate, "residual");
  EXPECT_DOUBLE_EQ(c.capacity.eval_factor, 2.0);
  EXPECT_EQ(c.capacity.policy, "random");
  ASSERT_EQ(c.losses.size(), 2U);
  EXPECT_EQ(c.losses[1].name, "router_z");
  EXPECT_DOUBLE_EQ(c.losses[1].weight, 0.001);
  EXPECT_EQ(config_of_layer(c, 0, 2).experts.num_experts, 4);
  EXPECT_EQ(config_of_layer(c, 1, 2).experts.num_experts, 6);
  EXPECT_NO_THROW(MoELayer{config_of_layer(c, 0, 2)});
  EXPECT_THROW(config_of_layer(c, 0, 3), ConfigError);
}

TEST(MoEConfig, NeedsNoWidthForExpertsThatHaveNone) {
  EXPECT_EQ(read("[moe]\nexperts = \"adapter\"\nnum_experts = 4\nlora_rank = 2\n").experts.lora_rank, 2);
}

TEST(MoEConfig, RefusesExpertsCapacityAndLossesThatContradictThemselves) {
  const std::string start = "[moe]\nnum_experts = 4\nexpert_hidden = 8\n";
  for (const auto* rest : {"num_copy = 2\n", "shared_gate = \"sigmoid\"\n", "[moe.capacity]\nmin_rows = 0\n",
                           "[moe.capacity]\nfactor = 1.0\npolicy = \"none\"\n", "[[moe.losses]]\nweight = 1.0\n",
                           "[[moe.losses]]\nname = \"nonesuch\"\n", "[[moe.losses]]\nname = \"consistency\"\n",
                           "[[moe.losses]]\nname = \"switch\"\nnum_devices = 2\n"})
    EXPECT_THROW(make_expert_bank(read(start + rest).experts), ConfigError) << rest;
}

TEST(MoEConfig, RefusesWhatIsMissingUnknownOrOutOfRange) {
  EXPECT_THROW(read("[moe]\nexpert_hidden = 8\n"), ConfigError);
  EXPECT_THROW(read("[moe]\nnum_experts = 4\n"), ConfigError);
  EXPECT_THROW(read("[moe]\nnum_experts = 4\nexpert_hidden = 8\nnum_expert = 3\n"), ConfigError);
  EXPECT_THROW(read("[moe]\nnum_experts = 4\nexpert_hidden = 8\nmodalities = [\"smell\"]\n"), ConfigError);
  EXPECT_THROW(read("[moe]\nnum_experts = 4\nexpert_hidden = 8\ntop_p = 1.5\n"), ConfigError);
  EXPECT_THROW(read("[moe]\nnum_experts = 4\nexpert_hidden = 8\n[[moe.groups]]\nname = \"a\"\nnum_experts = 3\n"),
               ConfigError);
}

}  // namespace
}  // namespace polyphony::moe
