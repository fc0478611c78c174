// SPDX-License-Identifier: Apache-2.0
#include "core/ops/quantized_matvec/quantized_matvec_kernels.h"
#include "tests/core/ops/cuda_kernels/kernel_test.h"

namespace polyphony::testing {
namespace {

struct Case {
  int64_t R, N, K, group;
  bool experts;  // rows choose their token and expert
};

template <class T>
class QuantizedMatvecKernels : public CudaKernel {
 protected:
  void check(const Case& c, int bits) {
    SCOPED_TRACE(::testing::Message() << c.R << " rows, " << c.N << " x " << c.K << ", group " << c.group << ", bits "
                                      << bits << ", experts " << c.experts);
    const int64_t E = c.experts ? 3 : 1, tokens = c.experts ? 2 : std::max<int64_t>(c.R, 1);
    const int64_t groups = (c.K + c.group - 1) / c.group;
    const auto scale = normal<c10::BFloat16>(E * c.N * groups);
    std::vector<uint8_t> values;
    std::vector<double> weight;
    for (int64_t row = 0; row < E * c.N; ++row)
      for (int64_t k = 0; k < c.K; ++k) {
        const int64_t number = bits == 8 ? below(255) - 127 : below(16) - 8;
        weight.push_back(at(scale, row * groups + k / c.group) * static_cast<double>(number));
        if (bits == 8)
          values.push_back(static_cast<uint8_t>(number));
        else if (k % 2 == 0)
          values.push_back(static_cast<uint8_t>(number + 8));
        else
          values.back() = static_cast<uint8_t>(values.back() | (number + 8) << 4);
      }
    const auto x = normal<T>(tokens * c.K, 0.1f);
    std::vector<int64_t> token, expert;
    std::vector<double> want;
    for (int64_t r = 0; r < c.R; ++r) {
      token.push_back(c.experts ? below(tokens) : r);
      expert.push_back(c.experts ? below(E) : 0);
      for (int64_t n = 0; n < c.N; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < c.K; ++k)
          sum += at(x, token.back() * c.K + k) * weight[static_cast<size_t>((expert.back() * c.N + n) * c.K + k)];
        want.push_back(sum);
      }
    }
    const DeviceArray<uint8_t> device_values(values);
    const DeviceArray<c10::BFloat16> device_scale(scale);
    const DeviceArray<T> device_x(x);
    const DeviceArray<int64_t> device_token(token), device_expert(expert);
    const auto got = in_every_order([&] {
      const DeviceArray<T> y(unwritten<T>(c.R * c.N));
      launch(ops::QuantizedMatvec<T>{.x_TK = device_x.data(),
                                     .values_ENB = device_values.data(),
                                     .scales_ENG = device_scale.data(),
                                     .token_R = c.experts ? device_token.data() : nullptr,
                                     .expert_R = c.experts ? device_expert.data() : nullptr,
                                     .y_RN = y.data(),
                                     .num_rows = c.R,
                                     .N = c.N,
                                     .K = c.K,
                                     .group = c.group,
                                     .bits = bits});
      return y.host();
    });
    expect_near(got, want, 10 * tolerance<T>());
  }
};

using Types = ::testing::Types<float, c10::BFloat16>;
TYPED_TEST_SUITE(QuantizedMatvecKernels, Types);

TYPED_TEST(QuantizedMatvecKernels, EqualTheProductWithTheDequantisedWeights) {
  for (const Case& c :
       {Case{0, 5, 64, 64, false}, Case{1, 1, 2, 2, false}, Case{1, 6, 64, 32, false}, Case{3, 9, 256, 128, true},
        Case{16, 4, 96, 32, true}, Case{2, 7, 1056, 32, false}, Case{1, 3, 70, 70, false}, Case{2, 5, 120, 24, true},
        Case{1, 5, 640, 640, false}, Case{2, 5, 64, 8, false}, Case{3, 5, 33, 33, true}, Case{1, 4, 160, 64, false},
        Case{2, 3, 1, 1, false}})
    for (const int bits : {8, 4}) this->check(c, bits);
}

}  // namespace
}  // namespace polyphony::testing
