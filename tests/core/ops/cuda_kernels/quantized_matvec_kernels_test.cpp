// SPDX-License-Identifier: Apache-2.0
#include "core/ops/quantized_matvec/quantized_matvec_kernels.h"
#include "tests/core/ops/cuda_kernels/kernel_test.h"

namespace polyphony::testing {
namespace {

struct Case {
  int64_t R, O, I, group;
  bool experts;  // rows choose their token and expert
};

template <class T>
class QuantizedMatvecKernels : public CudaKernel {
 protected:
  void check(const Case& c, int bits) {
    SCOPED_TRACE(::testing::Message() << c.R << " rows, " << c.O << " x " << c.I << ", group " << c.group << ", bits "
                                      << bits << ", experts " << c.experts);
    const int64_t E = c.experts ? 3 : 1, tokens = c.experts ? 2 : std::max<int64_t>(c.R, 1);
    std::vector<uint8_t> q;
    std::vector<double> weight(static_cast<size_t>(E * c.O * c.I));
    const auto scale = normal<float>(E * c.O * c.I / c.group);
    for (int64_t i = 0; i < E * c.O * c.I; ++i) {
      const auto group = static_cast<size_t>(i / c.group);  // groups do not cross rows
      const int64_t value = bits == 8 ? below(256) - 128 : below(16) - 8;
      weight[static_cast<size_t>(i)] = static_cast<double>(scale[group]) * static_cast<double>(value);
      if (bits == 8)
        q.push_back(static_cast<uint8_t>(value));
      else if (i % 2 == 0)
        q.push_back(static_cast<uint8_t>(value + 8));
      else
        q.back() = static_cast<uint8_t>(q.back() | (value + 8) << 4);
    }
    const auto x = normal<T>(tokens * c.I, 0.1f);
    std::vector<int64_t> token, expert;
    std::vector<double> want, largest;
    for (int64_t r = 0; r < c.R; ++r) {
      token.push_back(c.experts ? below(tokens) : r);
      expert.push_back(c.experts ? below(E) : 0);
      for (int64_t o = 0; o < c.O; ++o) {
        double sum = 0;
        for (int64_t i = 0; i < c.I; ++i)
          sum += weight[static_cast<size_t>((expert.back() * c.O + o) * c.I + i)] * at(x, token.back() * c.I + i);
        want.push_back(sum);
      }
    }
    const DeviceArray<uint8_t> device_q(q);
    const DeviceArray<float> device_scale(scale);
    const DeviceArray<T> device_x(x);
    const DeviceArray<int64_t> device_token(token), device_expert(expert);
    const auto got = in_every_order([&] {
      const DeviceArray<T> y(unwritten<T>(c.R * c.O));
      launch(ops::QuantizedMatvec<T>{.x_TI = device_x.data(),
                                     .q_EOB = device_q.data(),
                                     .scale_EOG = device_scale.data(),
                                     .token_R = c.experts ? device_token.data() : nullptr,
                                     .expert_R = c.experts ? device_expert.data() : nullptr,
                                     .y_RO = y.data(),
                                     .num_rows = c.R,
                                     .O = c.O,
                                     .I = c.I,
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
        Case{1, 5, 640, 640, false}, Case{2, 5, 64, 8, false}})
    for (const int bits : {8, 4}) this->check(c, bits);
}

}  // namespace
}  // namespace polyphony::testing
