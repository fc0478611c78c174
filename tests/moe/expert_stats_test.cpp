// SPDX-License-Identifier: Apache-2.0
// Expert statistics over batches, by hand.
#include "moe/expert_stats.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "moe/choice_bias.h"

namespace polyphony::moe {
namespace {

Routing routing_of(const std::vector<int64_t>& expert_N, int64_t num_experts, int64_t num_null = 0) {
  const auto N = static_cast<int64_t>(expert_N.size());
  return {.token_N = at::arange(N),
          .expert_N = at::tensor(expert_N, at::kLong),
          .weight_N = at::ones({N}),
          .num_tokens = N,
          .num_experts = num_experts,
          .num_null = num_null};
}

TEST(ExpertStats, CountsLoadsByModalityOverBatches) {
  ExpertCounts counts;
  add_routing(counts, routing_of({0, 0, 1}, 3), at::tensor({0, 1, 1}, at::kByte));
  add_routing(counts, routing_of({0}, 3), at::tensor({0}, at::kByte));
  const auto s = expert_stats(counts);
  EXPECT_EQ(s.tokens, 4);
  EXPECT_EQ(s.rows, 4);
  EXPECT_EQ(s.load_E, (std::vector<double>{0.75, 0.25, 0}));
  EXPECT_EQ(s.dead_experts, std::vector<int64_t>{2});
  EXPECT_EQ(s.modalities, (std::vector<std::string>{"text", "image"}));
  EXPECT_EQ(s.tokens_by_modality, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(s.load_by_modality[0], (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(s.load_by_modality[1], (std::vector<double>{0.5, 0.5, 0}));
  EXPECT_DOUBLE_EQ(s.max_over_mean, 2.25);
  EXPECT_NEAR(s.load_entropy, -(0.75 * std::log(0.75) + 0.25 * std::log(0.25)) / std::log(3.0), 1e-12);
  EXPECT_NEAR(s.coefficient_of_variation, std::sqrt(((1.25 * 1.25) + (0.25 * 0.25) + 1) / 3), 1e-12);
}

TEST(ExpertStats, CallsEvenLoadEven) {
  ExpertCounts counts;
  add_routing(counts, routing_of({0, 1, 2, 3}, 4), at::zeros({4}, at::kByte));
  const auto s = expert_stats(counts);
  EXPECT_DOUBLE_EQ(s.load_entropy, 1);
  EXPECT_DOUBLE_EQ(s.coefficient_of_variation, 0);
  EXPECT_TRUE(s.dead_experts.empty());
}

TEST(ExpertStats, KeepsNullExpertsApart) {
  ExpertCounts counts;
  add_routing(counts, routing_of({0, 2, 3, 1}, 2, 2), at::zeros({4}, at::kByte));
  const auto s = expert_stats(counts);
  EXPECT_EQ(s.rows, 2);
  EXPECT_DOUBLE_EQ(s.null_share, 0.5);
  EXPECT_DOUBLE_EQ(s.experts_per_token, 0.5);
}

TEST(ExpertStats, MergesAsIfTheBatchesWereOne) {
  ExpertCounts together, left, right;
  auto r = routing_of({0, 1, 1}, 2);
  r.logits_TE = at::randn({3, 2});
  const auto modality = at::tensor({0, 3, 0}, at::kByte);
  for (auto* counts : {&together, &together, &left, &right}) add_routing(*counts, r, modality);
  merge(left, right);
  EXPECT_EQ(nlohmann::json(expert_stats(left)), nlohmann::json(expert_stats(together)));
  merge(left, {});
  EXPECT_EQ(expert_stats(left).tokens, 6);
}

TEST(ExpertStats, GivesFiniteFiguresForNothing) {
  ExpertCounts counts;
  EXPECT_EQ(expert_stats(counts).tokens, 0);
  auto none = routing_of({}, 2);
  add_routing(counts, none, at::zeros({0}, at::kByte));
  const nlohmann::json json = expert_stats(counts);
  EXPECT_EQ(json["load_entropy"], 0.0);
  EXPECT_EQ(json["dead_experts"].size(), 2U);
  EXPECT_EQ(json.dump().find("null,"), std::string::npos) << "NaN is written as null";
}

TEST(ExpertStats, RefusesANumberOfExpertsThatChanges) {
  ExpertCounts counts;
  add_routing(counts, routing_of({0}, 2), at::zeros({1}, at::kByte));
  EXPECT_THROW(add_routing(counts, routing_of({0}, 3), at::zeros({1}, at::kByte)), ShapeError);
}

TEST(ChoiceBias, RisesForIdleAndFallsForBusyExpertsByTheRate) {
  const auto bias = at::zeros({4});
  update_choice_bias(bias, at::tensor({10, 0, 5, 5}, at::kLong), {.rate = 0.01});
  EXPECT_TRUE(at::allclose(bias, at::tensor({-0.01F, 0.01F, 0.0F, 0.0F})));
}

TEST(ChoiceBias, ComparesWithinGroupsAndLeavesAnIdleGroupAlone) {
  const auto bias = at::zeros({4});
  update_choice_bias(bias, at::tensor({9, 1, 0, 0}, at::kLong), {.rate = 1, .group_sizes = {2, 2}});
  EXPECT_TRUE(at::equal(bias, at::tensor({-1.0F, 1.0F, 0.0F, 0.0F})));
  EXPECT_THROW(update_choice_bias(bias, at::zeros({4}), {.group_sizes = {3}}), ShapeError);
}

}  // namespace
}  // namespace polyphony::moe
