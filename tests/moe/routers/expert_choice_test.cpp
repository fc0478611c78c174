// SPDX-License-Identifier: Apache-2.0
// The invariants of expert choice: fixed loads per modality group, best tokens, and a causality that it does not have.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/moe/routers/contract_cases.h"

namespace polyphony::moe {
namespace {

std::shared_ptr<Router> router_with(RouterConfig config = {}) {
  at::manual_seed(3);
  config.name = "expert_choice";
  config.score = "sigmoid";
  config.model_dim = kWidth;
  config.num_experts = 6;
  return make_router(config);
}

const std::vector<ExpertGroup> kGroups = {{.name = "text", .modalities = {Modality::text}, .num_experts = 4},
                                          {.name = "image", .modalities = {Modality::image}, .num_experts = 2}};

TEST(ExpertChoiceRouter, GivesEachExpertItsShareOfItsModalitysTokensRoundedUp) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const auto c = random_context({.tokens = 37, .seed = seed, .groups = kGroups});
    const auto load = at::bincount(router_with()->route(c).expert_N, {}, 6);
    const int64_t text = (c.modality_T == 0).sum().item<int64_t>(), image = 37 - text;
    for (int64_t e = 0; e < 6; ++e)
      EXPECT_EQ(load[e].item<int64_t>(), e < 4 ? (text + 3) / 4 : (image + 1) / 2) << "expert " << e;
  }
}

TEST(ExpertChoiceRouter, LeavesTheExpertsOfAnAbsentModalityWithoutRows) {
  const auto c = random_context({.modalities = {Modality::image}, .groups = kGroups});
  EXPECT_TRUE((router_with()->route(c).expert_N >= 4).all().item<bool>());
}

TEST(ExpertChoiceRouter, TakesTheTokensWithTheHighestScores) {
  const auto c = random_context({.groups = one_group(6)});
  const auto r = router_with()->route(c);
  const auto taken = table_of(r) >= 0;
  for (int64_t e = 0; e < 6; ++e) {
    const auto score = r.score_TE.select(1, e), mask = taken.select(1, e);
    EXPECT_GE(score.masked_select(mask).min().item<float>(), score.masked_select(~mask).max().item<float>());
  }
}

TEST(ExpertChoiceRouter, WeighsByTheSigmoidOfTheLogit) {
  const auto r = router_with()->route(random_context({.groups = kGroups}));
  EXPECT_TRUE(at::allclose(r.weight_N, r.logits_TE.index({r.token_N, r.expert_N}).sigmoid(), 1e-6, 1e-7));
}

TEST(ExpertChoiceRouter, SharesACommonExpertAmongTheModalitiesThatMayUseIt) {
  const std::vector<ExpertGroup> groups = {{.name = "text", .modalities = {Modality::text}, .num_experts = 3},
                                           {.name = "image", .modalities = {Modality::image}, .num_experts = 1},
                                           {.name = "common", .modalities = {}, .num_experts = 2}};
  const auto c = random_context({.tokens = 60, .groups = groups});
  const auto load = at::bincount(router_with()->route(c).expert_N, {}, 6);
  const double text = (c.modality_T == 0).sum().item<double>(), image = 60 - text;
  EXPECT_EQ(load[0].item<int64_t>(), std::ceil(text / 5));
  EXPECT_EQ(load[3].item<int64_t>(), std::ceil(image / 3));
  EXPECT_EQ(load[4].item<int64_t>(), std::ceil(text / 5 + image / 3));
}

TEST(ExpertChoiceRouter, TakesAllTokensAndNoMoreWhenTheCapacityIsLarger) {
  const auto r = router_with({.capacity_factor = 100})->route(random_context({.groups = one_group(6)}));
  EXPECT_EQ(r.token_N.size(0), 24 * 6);
}

}  // namespace
}  // namespace polyphony::moe
