// SPDX-License-Identifier: Apache-2.0
#include "core/ops/gated_activation/gated_activation_kernels.h"
#include "tests/core/ops/cuda_kernels/kernel_test.h"

namespace polyphony::testing {
namespace {

double act(double g, bool gelu) {
  constexpr double kRoot = 0.7978845608028654;  // sqrt(2 / pi)
  return gelu ? 0.5 * g * (1 + std::tanh(kRoot * (g + 0.044715 * g * g * g))) : g / (1 + std::exp(-g));
}

double slope(double g, bool gelu) {
  constexpr double kStep = 1e-5;
  return (act(g + kStep, gelu) - act(g - kStep, gelu)) / (2 * kStep);
}

template <class T>
class GatedActivationKernels : public CudaKernel {
 protected:
  void check(int64_t R, int64_t F, bool gelu, bool weighted) {
    SCOPED_TRACE(::testing::Message() << R << " rows, F " << F << ", gelu " << gelu << ", weighted " << weighted);
    const auto h = normal<T>(R * 2 * F, 3), da = normal<T>(R * F);
    const auto weight = normal<float>(R + 2);
    std::vector<int64_t> row;  // two routing rows have no sorted row
    for (int64_t r = 0; r < R; ++r) row.push_back(R + 1 - r);
    std::vector<double> want_a, want_weighted_a, want_dh(h.size()), want_dweight(weight.size());
    for (int64_t r = 0; r < R; ++r)
      for (int64_t f = 0; f < F; ++f) {
        const double g = at(h, r * 2 * F + f), u = at(h, r * 2 * F + F + f), d = at(da, r * F + f);
        const double w = weighted ? at(weight, R + 1 - r) : 1.0;
        want_a.push_back(act(g, gelu) * u);
        want_weighted_a.push_back(w * want_a.back());
        want_dweight[static_cast<size_t>(R + 1 - r)] += d * want_a.back();
        want_dh[static_cast<size_t>(r * 2 * F + f)] = w * d * u * slope(g, gelu);
        want_dh[static_cast<size_t>(r * 2 * F + F + f)] = w * d * act(g, gelu);
      }
    const DeviceArray<T> device_h(h), device_da(da);
    const DeviceArray<float> device_weight(weight);
    const DeviceArray<int64_t> device_row(row);
    expect_near(in_every_order([&] {
                  const DeviceArray<T> a(unwritten<T>(R * F));
                  launch(ops::GatedActivationRows<T>{
                      .h_R2F = device_h.data(), .a_RF = a.data(), .num_rows = R, .F = F, .gelu = gelu});
                  return a.host();
                }),
                want_a);
    std::vector<T> weighted_a;
    std::vector<float> dweight;
    const auto dh = in_every_order([&] {
      const DeviceArray<T> out(unwritten<T>(R * 2 * F)), out_a(unwritten<T>(R * F));
      const DeviceArray<float> dweight_N(std::vector<float>(weight.size(), 0.0f));
      launch(ops::GatedActivationGradientRows<T>{.h_R2F = device_h.data(),
                                                 .da_RF = device_da.data(),
                                                 .weight_N = weighted ? device_weight.data() : nullptr,
                                                 .row_R = weighted ? device_row.data() : nullptr,
                                                 .dh_R2F = out.data(),
                                                 .weighted_a_RF = weighted ? out_a.data() : nullptr,
                                                 .dweight_N = weighted ? dweight_N.data() : nullptr,
                                                 .num_rows = R,
                                                 .F = F,
                                                 .gelu = gelu});
      const auto sums = dweight_N.host();
      EXPECT_TRUE(dweight.empty() || same_bits(dweight, sums));
      dweight = sums;
      weighted_a = out_a.host();
      return out.host();
    });
    expect_near(dh, want_dh, 10 * tolerance<T>());
    if (!weighted) return;
    expect_near(weighted_a, want_weighted_a);
    expect_near(dweight, want_dweight, 1e-4);
  }
};

using Types = ::testing::Types<float, c10::BFloat16>;
TYPED_TEST_SUITE(GatedActivationKernels, Types);

TYPED_TEST(GatedActivationKernels, ForwardAndGradientEqualTheFormula) {
  for (const auto& [R, F] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 8}, {1, 1}, {1, 520}, {3, 8}, {5, 130}, {2, 0}})
    for (const bool gelu : {false, true})
      for (const bool weighted : {false, true}) this->check(R, F, gelu, weighted);
}

TYPED_TEST(GatedActivationKernels, StayFiniteForLargeGates) {
  for (const bool gelu : {false, true}) {
    const std::vector<TypeParam> h = {TypeParam(-3e4f), TypeParam(3e4f), TypeParam(1), TypeParam(1)};
    const DeviceArray<TypeParam> device_h(h), da(std::vector<TypeParam>(2, TypeParam(1)));
    const DeviceArray<TypeParam> a(unwritten<TypeParam>(2)), dh(unwritten<TypeParam>(4));
    launch(ops::GatedActivationRows<TypeParam>{
        .h_R2F = device_h.data(), .a_RF = a.data(), .num_rows = 1, .F = 2, .gelu = gelu});
    launch(ops::GatedActivationGradientRows<TypeParam>{.h_R2F = device_h.data(),
                                                       .da_RF = da.data(),
                                                       .weight_N = nullptr,
                                                       .row_R = nullptr,
                                                       .dh_R2F = dh.data(),
                                                       .weighted_a_RF = nullptr,
                                                       .dweight_N = nullptr,
                                                       .num_rows = 1,
                                                       .F = 2,
                                                       .gelu = gelu});
    expect_near(a.host(), {0, 3e4});
    expect_near(dh.host(), {0, 1, 0, 3e4});
  }
}

}  // namespace
}  // namespace polyphony::testing
