// SPDX-License-Identifier: Apache-2.0
#include "core/ops/combine_rows/combine_rows_kernels.h"
#include "tests/core/ops/cuda_kernels/kernel_test.h"

namespace polyphony::testing {
namespace {

struct Case {
  int64_t T, K, E, D;
};

// Ragged: a quarter of the rows go to the null expert.
constexpr Case kCases[] = {{0, 1, 2, 8}, {1, 1, 1, 1}, {1, 8, 3, 40},   {5, 2, 4, 7},
                           {9, 3, 5, 0}, {6, 2, 4, 8}, {7, 8, 256, 24}, {3, 2, 2, 1032}};

template <class T>
class CombineRowsKernels : public CudaKernel {
 protected:
  PlainPlan plan_of(const Case& c) {
    std::vector<int64_t> token, expert;
    for (int64_t n = 0; n < c.T * c.K; ++n) {
      token.push_back(n / c.K);
      expert.push_back(below(4) == 0 ? c.E : below(c.E));
    }
    return plain_plan(token, expert, c.T, c.E);
  }

  void check_sum(const Case& c, bool weighted, bool with_extra) {
    SCOPED_TRACE(::testing::Message() << c.T << " tokens, width " << c.D << ", weighted " << weighted);
    const PlainPlan plan = plan_of(c);
    const auto R = static_cast<int64_t>(plan.row.size());
    const auto y = normal<T>(R * c.D);
    const auto extra = normal<T>(c.T * c.D);
    const auto weight = normal<float>(R);
    std::vector<double> want(static_cast<size_t>(c.T * c.D));
    for (int64_t i = 0; i < c.T * c.D; ++i) {
      auto& sum = want[static_cast<size_t>(i)];
      if (with_extra) sum = at(extra, i);
      const auto t = static_cast<size_t>(i / c.D);
      for (int64_t s = plan.token_offset[t]; s < plan.token_offset[t + 1]; ++s) {
        const int64_t r = plan.slot[static_cast<size_t>(s)];
        sum += (weighted ? at(weight, r) : 1.0) * at(y, r * c.D + i % c.D);
      }
    }
    const DeviceArray<T> device_y(y), device_extra(extra);
    const DeviceArray<float> device_weight(weight);
    const DeviceArray<int64_t> offset(plan.token_offset), slot(plan.slot);
    const auto got = in_every_order([&] {
      const DeviceArray<T> out(unwritten<T>(c.T * c.D));
      launch(ops::SumRows<T>{.y_RD = device_y.data(),
                             .weight_R = weighted ? device_weight.data() : nullptr,
                             .token_offset_T1 = offset.data(),
                             .slot_R = slot.data(),
                             .extra_TD = with_extra ? device_extra.data() : nullptr,
                             .out_TD = out.data(),
                             .num_tokens = c.T,
                             .D = c.D});
      return out.host();
    });
    expect_near(got, want);
  }

  void check_gradient(const Case& c) {
    SCOPED_TRACE(::testing::Message() << c.T << " tokens, width " << c.D);
    const PlainPlan plan = plan_of(c);
    const auto R = static_cast<int64_t>(plan.row.size());
    const auto dout = normal<T>(c.T * c.D), y = normal<T>(R * c.D);
    const auto weight = normal<float>(c.T * c.K);
    std::vector<double> want_dy, want_dweight(weight.size());
    for (int64_t r = 0; r < R; ++r) {
      const int64_t row = plan.row[static_cast<size_t>(r)], token = plan.token[static_cast<size_t>(r)];
      for (int64_t d = 0; d < c.D; ++d) {
        want_dy.push_back(at(weight, row) * at(dout, token * c.D + d));
        want_dweight[static_cast<size_t>(row)] += at(y, r * c.D + d) * at(dout, token * c.D + d);
      }
    }
    const DeviceArray<T> device_dout(dout), device_y(y);
    const DeviceArray<float> device_weight(weight);
    const DeviceArray<int64_t> row(plan.row), token(plan.token);
    std::vector<float> dweight;
    const auto dy = in_every_order([&] {
      const DeviceArray<T> out(unwritten<T>(R * c.D));
      const DeviceArray<float> dweight_N(std::vector<float>(weight.size(), 0.0f));
      launch(ops::CombineGradient<T>{.dout_TD = device_dout.data(),
                                     .y_RD = device_y.data(),
                                     .weight_N = device_weight.data(),
                                     .row_R = row.data(),
                                     .token_R = token.data(),
                                     .dy_RD = out.data(),
                                     .dweight_N = dweight_N.data(),
                                     .num_rows = R,
                                     .D = c.D});
      const auto sums = dweight_N.host();
      EXPECT_TRUE(dweight.empty() || same_bits(dweight, sums));
      dweight = sums;
      return out.host();
    });
    expect_near(dy, want_dy);
    expect_near(dweight, want_dweight, 1e-4);
  }
};

using Types = ::testing::Types<float, c10::BFloat16>;
TYPED_TEST_SUITE(CombineRowsKernels, Types);

TYPED_TEST(CombineRowsKernels, SumsTheRowsOfEachToken) {
  for (const Case& c : kCases)
    for (const bool weighted : {false, true}) this->check_sum(c, weighted, !weighted);
}

TYPED_TEST(CombineRowsKernels, GradientWeightsRowsAndMultipliesThem) {
  for (const Case& c : kCases) this->check_gradient(c);
}

}  // namespace
}  // namespace polyphony::testing
