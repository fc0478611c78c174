// SPDX-License-Identifier: Apache-2.0
// What the kernel tests share. They know pointers and no LibTorch, so that they run under the address sanitizer through
// the shim, and unchanged on a GPU: "test_device.h" is either's.
#pragma once
#include <c10/util/BFloat16.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "test_device.h"

namespace polyphony::testing {

class CudaKernel : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_test_device()) GTEST_SKIP() << "no GPU was found";
  }
  std::mt19937 random_{17};

  int64_t below(int64_t limit) { return std::uniform_int_distribution<int64_t>(0, limit - 1)(random_); }

  template <class T>
  std::vector<T> normal(int64_t count, float scale = 1) {
    std::normal_distribution<float> draw(0, scale);
    std::vector<T> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<T>(draw(random_)));
    return values;
  }
};

// What nothing was written to stays wrong.
template <class T>
std::vector<T> unwritten(int64_t count) {
  if constexpr (std::is_integral_v<T>)
    return std::vector<T>(static_cast<size_t>(count), T{-77});
  else
    return std::vector<T>(static_cast<size_t>(count), static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Runs `run` with threads and blocks in three orders; its result, a vector, must have the same bits each time.
template <class Run>
auto in_every_order(const Run& run) {
  use_thread_order(0);
  const auto first = run();
  for (const unsigned order : {1u, 23u}) {
    use_thread_order(order);
    EXPECT_TRUE(same_bits(run(), first)) << "thread order " << order;
  }
  use_thread_order(0);
  return first;
}

template <class T>
double tolerance() {
  return std::is_same_v<T, float> ? 1e-5 : 8e-3;  // bf16 keeps 8 bits
}

// |got - want| <= tolerance * (1 + |want|), for every value.
template <class T>
void expect_near(const std::vector<T>& got, const std::vector<double>& want, double allowed = tolerance<T>()) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_LE(std::abs(static_cast<double>(static_cast<float>(got[i])) - want[i]), allowed * (1 + std::abs(want[i])))
        << "at " << i << ", got " << static_cast<float>(got[i]) << ", expected " << want[i];
}

template <class T>
double at(const std::vector<T>& values, int64_t i) {
  return static_cast<double>(static_cast<float>(values[static_cast<size_t>(i)]));
}

// The plan of a routing in plain loops; core/ops/dispatch_plan/dispatch_plan.h says what its parts are.
struct PlainPlan {
  std::vector<int64_t> row, token, expert, slot;
  std::vector<int64_t> offset, token_offset;
};

inline PlainPlan plain_plan(const std::vector<int64_t>& token_N, const std::vector<int64_t>& expert_N, int64_t T,
                            int64_t E) {
  PlainPlan plan;
  plan.offset = {0};
  plan.token_offset = {0};
  for (int64_t e = 0; e < E; ++e) {
    for (size_t n = 0; n < expert_N.size(); ++n) {
      if (expert_N[n] != e) continue;
      plan.row.push_back(static_cast<int64_t>(n));
      plan.token.push_back(token_N[n]);
      plan.expert.push_back(e);
    }
    plan.offset.push_back(static_cast<int64_t>(plan.row.size()));
  }
  for (int64_t t = 0; t < T; ++t) {
    for (size_t r = 0; r < plan.token.size(); ++r)
      if (plan.token[r] == t) plan.slot.push_back(static_cast<int64_t>(r));
    plan.token_offset.push_back(static_cast<int64_t>(plan.slot.size()));
  }
  return plan;
}

}  // namespace polyphony::testing
