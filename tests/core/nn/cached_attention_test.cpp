// SPDX-License-Identifier: Apache-2.0
#include "core/nn/cached_attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "tests/support/expect_error.h"

namespace polyphony::nn {
namespace {

// One query after another: the definition.
at::Tensor by_loops(const at::Tensor& q_THC, const at::Tensor& k_TGC, const at::Tensor& v_TGC) {
  const int64_t T = q_THC.size(0), H = q_THC.size(1), repeats = H / k_TGC.size(1);
  auto y = at::zeros_like(q_THC);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t h = 0; h < H; ++h) {
      const auto k_SC = k_TGC.narrow(0, 0, t + 1).select(1, h / repeats);
      const auto score_S = at::mv(k_SC, q_THC[t][h]) / std::sqrt(static_cast<double>(q_THC.size(2)));
      y[t][h] = at::mv(v_TGC.narrow(0, 0, t + 1).select(1, h / repeats).t(), score_S.softmax(0));
    }
  return y;
}

TEST(AttendWithCache, IsCausalAttentionHoweverTheTokensCome) {
  at::manual_seed(1);
  const int64_t T = 70;  // more than the cache begins with
  for (const int64_t G : {1, 2, 4}) {
    const auto q = at::randn({T, 4, 6}), k = at::randn({T, G, 6}), v = at::randn({T, G, 6});
    const auto expected = by_loops(q, k, v);
    for (const int64_t piece : {1, 7, 70}) {
      KvCache cache;
      std::vector<at::Tensor> y;
      for (int64_t t = 0; t < T; t += piece)
        y.push_back(attend_with_cache(q.narrow(0, t, piece), k.narrow(0, t, piece), v.narrow(0, t, piece), cache));
      EXPECT_TRUE(at::allclose(at::cat(y), expected, 1e-4, 1e-5)) << G << " heads, pieces of " << piece;
      EXPECT_EQ(cache.lengths, std::vector<int64_t>{T});
    }
  }
}

TEST(AttendWithCache, RefusesKeysThatDoNotFit) {
  KvCache cache;
  const auto q = at::randn({3, 4, 6});
  EXPECT_REFUSED(ShapeError, attend_with_cache(q, at::randn({3, 3, 6}), at::randn({3, 3, 6}), cache), "divisor of 4");
  EXPECT_REFUSED(ShapeError, attend_with_cache(q, at::randn({2, 4, 6}), at::randn({2, 4, 6}), cache), "(3, G, 6)");
  attend_with_cache(q, at::randn({3, 2, 6}), at::randn({3, 2, 6}), cache);
  EXPECT_REFUSED(ShapeError, attend_with_cache(q, at::randn({3, 4, 6}), at::randn({3, 4, 6}), cache), "[kv_cache]");
}

}  // namespace
}  // namespace polyphony::nn
