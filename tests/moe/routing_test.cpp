// SPDX-License-Identifier: Apache-2.0
// The routing value: its checks, and expert groups as a table.
#include "moe/routing.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "moe/dispatch.h"

namespace polyphony::moe {
namespace {

Routing two_rows() {
  return {.token_N = at::tensor({0, 1}, at::kLong),
          .expert_N = at::tensor({2, 0}, at::kLong),
          .weight_N = at::ones({2}),
          .num_tokens = 2,
          .num_experts = 2,
          .num_null = 1};
}

TEST(Routing, AcceptsWhatIsWellFormed) { EXPECT_NO_THROW(check_routing(two_rows())); }

TEST(Routing, RefusesRowsOutOfRangeOfTheWrongTypeOrNotFinite) {
  const auto refuses = [](auto change) {
    auto routing = two_rows();
    change(routing);
    EXPECT_THROW(check_routing(routing), ShapeError);
    EXPECT_THROW(plan_dispatch(routing), ShapeError);
  };
  refuses([](auto& r) { r.token_N = at::tensor({0, 2}, at::kLong); });
  refuses([](auto& r) { r.token_N = at::tensor({-1, 0}, at::kLong); });
  refuses([](auto& r) { r.expert_N = at::tensor({0, 3}, at::kLong); });
  refuses([](auto& r) { r.expert_N = r.expert_N.to(at::kInt); });
  refuses([](auto& r) { r.token_N = at::Tensor(); });
  refuses([](auto& r) { r.weight_N = at::ones({3}); });
  refuses([](auto& r) { r.weight_N = at::full({2}, std::numeric_limits<float>::quiet_NaN()); });
  refuses([](auto& r) { r.weight_N = at::ones({2}, at::kBFloat16); });
  refuses([](auto& r) { r.logits_TE = at::zeros({2, 2}); });
  refuses([](auto& r) { r.num_experts = 0; });
}

TEST(Routing, LeavesNullExpertsOutOfThePlan) {
  const auto plan = plan_dispatch(two_rows());
  EXPECT_EQ(plan.num_rows(), 1);
  EXPECT_EQ(plan.token_R.item<int64_t>(), 1);
}

TEST(AllowedTable, MarksTheExpertsOfEachGroupForItsModalities) {
  const auto table =
      allowed_table({{.name = "text", .modalities = {Modality::text}, .num_experts = 2},
                     {.name = "seen", .modalities = {Modality::image, Modality::latent}, .num_experts = 1},
                     {.name = "common", .modalities = {}, .num_experts = 1}},
                    {Modality::text, Modality::audio});
  const auto row = [&](Modality m) { return table.select(0, static_cast<int64_t>(m)).to(at::kLong); };
  EXPECT_TRUE(at::equal(row(Modality::text), at::tensor({1, 1, 0, 1}, at::kLong)));
  EXPECT_TRUE(at::equal(row(Modality::image), at::tensor({0, 0, 1, 1}, at::kLong)));
  EXPECT_TRUE(at::equal(row(Modality::latent), at::tensor({0, 0, 1, 1}, at::kLong)));
  EXPECT_TRUE(at::equal(row(Modality::audio), at::tensor({0, 0, 0, 1}, at::kLong)));
}

TEST(AllowedTable, RefusesEmptyGroupsAndModalitiesWithoutExperts) {
  const std::vector<ExpertGroup> text_only = {{.name = "text", .modalities = {Modality::text}, .num_experts = 2}};
  EXPECT_THROW(allowed_table({}, {}), ConfigError);
  EXPECT_THROW(allowed_table({{.name = "none", .modalities = {}, .num_experts = 0}}, {}), ConfigError);
  EXPECT_THROW(allowed_table(text_only, {Modality::image}), ConfigError);
  EXPECT_NO_THROW(allowed_table(text_only, {Modality::text}));
}

TEST(MaskLogits, PutsMinusInfinityWhereForbiddenAndKeepsNullExperts) {
  const auto allowed = at::tensor({1, 0}).to(at::kBool).reshape({1, 2});
  const auto masked = mask_logits(at::ones({1, 3}, at::kBFloat16), allowed);
  EXPECT_EQ(masked.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(masked.isneginf(), at::tensor({0, 1, 0}).to(at::kBool).reshape({1, 3})));
}

}  // namespace
}  // namespace polyphony::moe
