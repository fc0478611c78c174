// SPDX-License-Identifier: Apache-2.0
// Assignment against trying everything.
#include "moe/assignment.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "core/error.h"

namespace polyphony::moe {
namespace {

double benefit_of(const at::Tensor& benefit, const at::Tensor& choice) {
  return benefit.gather(1, choice.unsqueeze(1)).sum().item<double>();
}

double best_by_trying(const at::Tensor& benefit) {
  const int64_t n = benefit.size(0);
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  double best = -std::numeric_limits<double>::infinity();
  do best = std::max(best, benefit_of(benefit, at::tensor(order, at::kLong)));
  while (std::next_permutation(order.begin(), order.end()));
  return best;
}

TEST(LinearAssignment, IsAPermutationAndAsGoodAsTheBestOfAll) {
  for (int64_t n = 1; n <= 6; ++n)
    for (uint64_t seed = 0; seed < 4; ++seed) {
      at::manual_seed(seed);
      const auto benefit = at::randn({n, n}, at::kDouble);
      const auto choice = linear_assignment(benefit);
      EXPECT_TRUE(at::equal(std::get<0>(choice.sort()), at::arange(n)));
      EXPECT_NEAR(benefit_of(benefit, choice), best_by_trying(benefit), 1e-9);
    }
  EXPECT_EQ(linear_assignment(at::zeros({0, 0})).size(0), 0);
  EXPECT_THROW(linear_assignment(at::zeros({2, 3})), ShapeError);
}

TEST(AuctionAssignment, IsWithinItsPrecisionOfTheBest) {
  const double epsilon = 1e-3;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    at::manual_seed(seed);
    const auto benefit = at::randn({6, 3}, at::kDouble);
    // Two places an expert: columns twice.
    const auto choice = auction_assignment(benefit, at::full({3}, 2, at::kLong), epsilon);
    EXPECT_TRUE((at::bincount(choice, {}, 3) <= 2).all().item<bool>());
    const double best = best_by_trying(benefit.repeat_interleave(2, 1));
    EXPECT_GE(benefit_of(benefit, choice), best - 6 * epsilon);
    EXPECT_LE(benefit_of(benefit, choice), best + 1e-9);
  }
}

TEST(AuctionAssignment, LeavesRoomEmptyAndObeysWhatIsForbidden) {
  const double out = -std::numeric_limits<double>::infinity();
  const auto benefit = at::tensor({5.0, 1.0, 5.0, out, 5.0, out}, at::kDouble).reshape({3, 2});
  const auto choice = auction_assignment(benefit, at::tensor({2, 4}, at::kLong), 1e-3);
  EXPECT_TRUE(at::equal(choice, at::tensor({1, 0, 0}, at::kLong)));
  EXPECT_THROW(auction_assignment(benefit, at::tensor({1, 1}, at::kLong), 1e-3), ShapeError);
  EXPECT_THROW(auction_assignment(benefit, at::tensor({1, 4}, at::kLong), 1e-3), ShapeError) << "two tokens, one place";
}

}  // namespace
}  // namespace polyphony::moe
