// SPDX-License-Identifier: Apache-2.0
#include "core/ops/dispatch_plan/dispatch_plan.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::ops {
namespace {

struct Rows {
  at::Tensor token_N;
  at::Tensor expert_N;
};

Rows random_rows(int64_t N, int64_t num_tokens, int64_t num_ids) {
  return {at::randint(num_tokens, {N}, at::kLong), at::randint(num_ids, {N}, at::kLong)};
}

void expect_equal(const DispatchPlan& a, const DispatchPlan& b) {
  EXPECT_TRUE(at::equal(a.row_R, b.row_R));
  EXPECT_TRUE(at::equal(a.token_R, b.token_R));
  EXPECT_TRUE(at::equal(a.expert_R, b.expert_R));
  EXPECT_TRUE(at::equal(a.offset_E1, b.offset_E1));
  EXPECT_TRUE(at::equal(a.token_offset_T1, b.token_offset_T1));
  EXPECT_TRUE(at::equal(a.slot_R, b.slot_R));
}

TEST(DispatchPlan, EqualsTheStableSortsOfTheReference) {
  at::manual_seed(1);
  for (const int64_t N : {0, 1, 7, 1000}) {
    const Rows rows = random_rows(N, 300, 9);
    expect_equal(make_dispatch_plan(rows.token_N, rows.expert_N, 300, 6),
                 dispatch_plan_reference(rows.token_N, rows.expert_N, 300, 6));
  }
}

TEST(DispatchPlan, SkipsNullExpertsAndKeepsEveryOtherRowOnce) {
  at::manual_seed(2);
  const Rows rows = random_rows(500, 100, 8);
  const DispatchPlan plan = make_dispatch_plan(rows.token_N, rows.expert_N, 100, 5);
  const at::Tensor kept = (rows.expert_N < 5).nonzero().flatten();
  EXPECT_TRUE(at::equal(std::get<0>(plan.row_R.sort()), kept));
  EXPECT_TRUE(at::equal(plan.expert_R, rows.expert_N.index_select(0, plan.row_R)));
  EXPECT_TRUE(at::equal(std::get<0>(plan.slot_R.sort()), at::arange(plan.num_rows(), at::kLong)));
  EXPECT_TRUE((plan.expert_R.diff() >= 0).all().item<bool>());
}

TEST(DispatchPlan, KeepsRowOrderWithinAnExpertAndExpertOrderWithinAToken) {
  const auto plan = make_dispatch_plan(at::tensor({1, 0, 1, 0}, at::kLong), at::tensor({2, 2, 0, 0}, at::kLong), 2, 3);
  EXPECT_TRUE(at::equal(plan.row_R, at::tensor({2, 3, 0, 1}, at::kLong)));
  EXPECT_TRUE(at::equal(plan.offset_E1, at::tensor({0, 2, 2, 4}, at::kLong)));
  EXPECT_TRUE(at::equal(plan.slot_R, at::tensor({1, 3, 0, 2}, at::kLong)));
  EXPECT_TRUE(at::equal(plan.token_offset_T1, at::tensor({0, 2, 4}, at::kLong)));
}

TEST(DispatchPlan, AcceptsNoTokens) {
  const auto none = at::empty({0}, at::kLong);
  const DispatchPlan plan = make_dispatch_plan(none, none, 0, 4);
  EXPECT_EQ(plan.num_rows(), 0);
  EXPECT_EQ(plan.offset_E1.numel(), 5);
  EXPECT_EQ(plan.token_offset_T1.numel(), 1);
}

TEST(DispatchPlan, AcceptsStridedRows) {
  const at::Tensor both = at::tensor({0, 1, 1, 0, 2, 1}, at::kLong).view({3, 2});
  expect_equal(make_dispatch_plan(both.select(1, 0), both.select(1, 1), 3, 2),
               dispatch_plan_reference(both.select(1, 0).contiguous(), both.select(1, 1).contiguous(), 3, 2));
}

TEST(DispatchPlan, RefusesIdsOutOfRange) {
  const auto plan = [](int64_t token, int64_t expert) {
    return make_dispatch_plan(at::tensor({token}, at::kLong), at::tensor({expert}, at::kLong), 4, 2);
  };
  EXPECT_THROW(plan(4, 0), ShapeError);
  EXPECT_THROW(plan(-1, 0), ShapeError);
  EXPECT_THROW(plan(0, -1), ShapeError);
  EXPECT_NO_THROW(plan(0, 2));
  EXPECT_THROW(make_dispatch_plan(at::zeros({2}, at::kLong), at::zeros({3}, at::kLong), 4, 2), ShapeError);
  EXPECT_THROW(make_dispatch_plan(at::zeros({2}, at::kInt), at::zeros({2}, at::kInt), 4, 2), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
