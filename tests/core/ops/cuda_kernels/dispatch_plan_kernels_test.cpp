// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/ops/dispatch_plan/dispatch_plan_kernels.h"
#include "tests/core/ops/cuda_kernels/kernel_test.h"

namespace polyphony::testing {
namespace {

using Ints = std::vector<int32_t>;

class DispatchPlanKernels : public CudaKernel {};

TEST_F(DispatchPlanKernels, KeysPutNullExpertsLastAndNameTheFirstBadRows) {
  for (const int64_t N : {0, 1, 127, 300}) {
    std::vector<int64_t> token, expert;
    Ints want_key, want_index;
    for (int64_t n = 0; n < N; ++n) {
      token.push_back(below(50));
      expert.push_back(below(9));
      want_key.push_back(static_cast<int32_t>(std::min<int64_t>(expert.back(), 6)));
      want_index.push_back(static_cast<int32_t>(n));
    }
    Ints want_bad(2, static_cast<int32_t>(N));
    if (N == 300) {  // several bad rows: the first of each kind counts
      token[290] = -1;
      token[212] = 50;
      expert[299] = expert[250] = -1;
      want_key[299] = want_key[250] = -1;
      want_bad = {212, 250};
    }
    const DeviceArray<int64_t> device_token(token), device_expert(expert);
    const auto run = [&](int part) {
      const DeviceArray<int32_t> key(unwritten<int32_t>(N)), index(unwritten<int32_t>(N));
      const DeviceArray<int32_t> bad(Ints(2, static_cast<int32_t>(N)));
      launch(ops::PlanKeys{.token_N = device_token.data(),
                           .expert_N = device_expert.data(),
                           .key_N = key.data(),
                           .index_N = index.data(),
                           .first_bad_2 = bad.data(),
                           .num_rows = N,
                           .num_tokens = 50,
                           .num_experts = 6});
      return part == 0 ? key.host() : part == 1 ? index.host() : bad.host();
    };
    EXPECT_EQ(in_every_order([&] { return run(0); }), want_key);
    EXPECT_EQ(in_every_order([&] { return run(1); }), want_index);
    EXPECT_EQ(in_every_order([&] { return run(2); }), want_bad);
  }
}

TEST_F(DispatchPlanKernels, SortPassIsStableForEverySize) {
  for (const int64_t N : {0, 1, 31, 255, 256, 257, 2047, 2048, 2049, 4700})
    for (const int shift : {0, 8}) {
      SCOPED_TRACE(::testing::Message() << N << " rows, shift " << shift);
      Ints key, value, order;
      // Few digits in the first half, so that warps and tiles are full of equal ones; all of them in the second.
      for (int64_t n = 0; n < N; ++n) {
        key.push_back(static_cast<int32_t>(n < N / 2 ? 256 * below(2) + below(3) : below(1 << 16)));
        value.push_back(static_cast<int32_t>(7 * n));
        order.push_back(static_cast<int32_t>(n));
      }
      const auto digit = [&](int32_t n) { return (key[static_cast<size_t>(n)] >> shift) & 255; };
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return digit(a) < digit(b); });
      Ints want_key, want_value;
      for (int32_t n : order) {
        want_key.push_back(key[static_cast<size_t>(n)]);
        want_value.push_back(value[static_cast<size_t>(n)]);
      }
      const DeviceArray<int32_t> device_key(key), device_value(value);
      Ints got_value;
      const auto got_key = in_every_order([&] {
        const DeviceArray<int32_t> key_out(unwritten<int32_t>(N)), value_out(unwritten<int32_t>(N));
        const DeviceArray<int32_t> counts(unwritten<int32_t>(ops::sort_scratch(N)));
        launch(ops::SortPass{.key_in = device_key.data(),
                             .value_in = device_value.data(),
                             .key_out = key_out.data(),
                             .value_out = value_out.data(),
                             .counts = counts.data(),
                             .num_rows = N,
                             .shift = shift});
        got_value = value_out.host();
        EXPECT_EQ(got_value, want_value);
        return key_out.host();
      });
      EXPECT_EQ(got_key, want_key);
    }
}

TEST_F(DispatchPlanKernels, LowerBoundsCountWhatIsBelow) {
  for (const int64_t R : {0, 1, 5, 200})
    for (const int64_t num_bounds : {1, 2, 129, 257}) {
      Ints key;
      for (int64_t r = 0; r < R; ++r) key.push_back(static_cast<int32_t>(2 * below(num_bounds)));
      std::sort(key.begin(), key.end());
      std::vector<int64_t> want;
      for (int64_t k = 0; k < num_bounds; ++k)
        want.push_back(std::count_if(key.begin(), key.end(), [&](int32_t other) { return other < k; }));
      const DeviceArray<int32_t> device_key(key);
      EXPECT_EQ(in_every_order([&] {
                  const DeviceArray<int64_t> bound(unwritten<int64_t>(num_bounds));
                  launch(ops::LowerBounds{
                      .key_R = device_key.data(), .bound_K = bound.data(), .num_rows = R, .num_bounds = num_bounds});
                  return bound.host();
                }),
                want);
    }
}

TEST_F(DispatchPlanKernels, RowsFollowTheSortedPairs) {
  for (const int64_t R : {0, 1, 150}) {
    std::vector<int64_t> token, row, want_token, want_expert;
    Ints key, index, want_token_key, want_slot;
    for (int64_t n = 0; n < 2 * R; ++n) token.push_back(below(1000));
    for (int64_t r = 0; r < R; ++r) {
      row.push_back(2 * R - 1 - 2 * r);
      index.push_back(static_cast<int32_t>(row.back()));
      key.push_back(static_cast<int32_t>(r / 3));
      want_token.push_back(token[static_cast<size_t>(row.back())]);
      want_expert.push_back(r / 3);
      want_token_key.push_back(static_cast<int32_t>(want_token.back()));
      want_slot.push_back(static_cast<int32_t>(r));
    }
    const DeviceArray<int32_t> device_key(key), device_index(index);
    const DeviceArray<int64_t> device_token(token);
    in_every_order([&] {
      const DeviceArray<int64_t> row_R(unwritten<int64_t>(R)), token_R(unwritten<int64_t>(R));
      const DeviceArray<int64_t> expert_R(unwritten<int64_t>(R));
      const DeviceArray<int32_t> token_key(unwritten<int32_t>(R)), slot(unwritten<int32_t>(R));
      launch(ops::PlanRows{.key_R = device_key.data(),
                           .index_R = device_index.data(),
                           .token_N = device_token.data(),
                           .row_R = row_R.data(),
                           .token_R = token_R.data(),
                           .expert_R = expert_R.data(),
                           .token_key_R = token_key.data(),
                           .slot_R = slot.data(),
                           .num_rows = R});
      EXPECT_EQ(token_R.host(), want_token);
      EXPECT_EQ(expert_R.host(), want_expert);
      EXPECT_EQ(token_key.host(), want_token_key);
      EXPECT_EQ(slot.host(), want_slot);
      EXPECT_EQ(row_R.host(), row);
      return row_R.host();
    });
  }
}

}  // namespace
}  // namespace polyphony::testing
