// SPDX-License-Identifier: Apache-2.0
// The choice of one pass is that of a stable sort, ties, infinities and NaN included.
#include "core/ops/top_indices/top_indices.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"

namespace polyphony::ops {
namespace {

TEST(TopIndices, AreTheFirstOfAStableSort) {
  at::manual_seed(1);
  for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kLong})
    for (const int64_t E : {1, 2, 7, 64, 300})
      for (const int64_t K : {0, 1, 2, 8, 16, 17}) {
        if (K > E) continue;
        const auto few = at::randint(4, {50, E}).to(dtype);  // many ties
        auto some = (10 * at::randn({50, E})).to(dtype);
        if (dtype != at::kLong) {
          some.masked_fill_(at::rand({50, E}) < 0.3, -std::numeric_limits<double>::infinity());
          some.masked_fill_(at::rand({50, E}) < 0.05, std::numeric_limits<double>::quiet_NaN());
        }
        for (const auto& values : {few, some, some.t().contiguous().t()})
          EXPECT_TRUE(at::equal(top_indices(values, K), top_indices_reference(values, K))) << dtype << E << " " << K;
      }
}

TEST(TopIndices, AreNoneWithoutRows) { EXPECT_EQ(top_indices(at::zeros({0, 5}), 3).sizes(), at::IntArrayRef({0, 3})); }

TEST(TopIndices, RefuseWhatDoesNotFit) {
  EXPECT_THROW(top_indices(at::zeros({2, 5}), 6), ShapeError);
  EXPECT_THROW(top_indices(at::zeros({2, 5}), -1), ShapeError);
  EXPECT_THROW(top_indices(at::zeros({5}), 1), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
