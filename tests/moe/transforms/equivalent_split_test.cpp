// SPDX-License-Identifier: Apache-2.0
// The split is exact: merging gives back the bits, and all slices together are the dense layer.
#include "moe/transforms/equivalent_split.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "moe/experts/gated_mlp.h"

namespace polyphony::moe {
namespace {

TEST(EquivalentSplit, GivesBackTheBitsOfAnMlp) {
  const ops::SharedExpert dense{.w13_2FD = at::randn({24, 5}), .w2_DF = at::randn({5, 12})};
  for (const int64_t n : {1, 2, 3, 12}) {
    const auto slices = split_mlp(dense, n);
    EXPECT_EQ(slices.w13_E2FD.sizes(), at::IntArrayRef({n, 24 / n, 5}));
    EXPECT_EQ(slices.w2_EDF.sizes(), at::IntArrayRef({n, 5, 12 / n}));
    const auto merged = merge_mlp(slices);
    EXPECT_TRUE(at::equal(merged.w13_2FD, dense.w13_2FD));
    EXPECT_TRUE(at::equal(merged.w2_DF, dense.w2_DF));
  }
}

TEST(EquivalentSplit, GivesBackTheBitsOfAnAttention) {
  const DenseAttention dense{.qkv_QD = at::randn({3 * 12, 6}), .out_DP = at::randn({6, 12})};
  for (const int64_t n : {1, 2, 4}) {
    const auto merged = merge_attention(split_attention(dense, 4, n));
    EXPECT_TRUE(at::equal(merged.qkv_QD, dense.qkv_QD));
    EXPECT_TRUE(at::equal(merged.out_DP, dense.out_DP));
  }
}

TEST(EquivalentSplit, IsTheDenseMlpWhenEverySliceIsTaken) {
  const ops::SharedExpert dense{.w13_2FD = at::randn({24, 5}), .w2_DF = at::randn({5, 12})};
  const auto x = at::randn({7, 5});
  const auto slices = split_mlp(dense, 4);
  const auto plan = ops::make_dispatch_plan(at::arange(7).repeat_interleave(4), at::arange(4).repeat({7}), 7, 4);
  const auto y = ops::moe_experts(x, plan, at::ones({28}), slices.w13_E2FD, slices.w2_EDF);
  EXPECT_TRUE(at::allclose(y, gated_mlp(x, dense, ops::Activation::silu), 1e-5, 1e-5));
}

TEST(EquivalentSplit, DoesNotShareMemoryWithTheDenseLayer) {
  const ops::SharedExpert dense{.w13_2FD = at::randn({8, 5}), .w2_DF = at::randn({5, 4})};
  const auto before = dense.w13_2FD.clone(), w2_before = dense.w2_DF.clone();
  split_mlp(dense, 1).w2_EDF.zero_();
  merge_mlp(split_mlp(dense, 1)).w2_DF.zero_();
  split_mlp(dense, 1).w13_E2FD.zero_();
  merge_mlp(split_mlp(dense, 1)).w13_2FD.zero_();
  EXPECT_TRUE(at::equal(dense.w13_2FD, before));
  EXPECT_TRUE(at::equal(dense.w2_DF, w2_before));
}

TEST(EquivalentSplit, RefusesSizesThatDoNotDivide) {
  const ops::SharedExpert dense{.w13_2FD = at::randn({24, 5}), .w2_DF = at::randn({5, 12})};
  EXPECT_THROW(split_mlp(dense, 5), ConfigError);
  EXPECT_THROW(split_mlp(dense, 0), ConfigError);
  EXPECT_THROW(split_attention({.qkv_QD = at::randn({36, 6}), .out_DP = at::randn({6, 12})}, 4, 3), ConfigError);
  EXPECT_THROW(split_attention({.qkv_QD = at::randn({24, 6}), .out_DP = at::randn({6, 12})}, 4, 2), ConfigError);
}

}  // namespace
}  // namespace polyphony::moe
