// SPDX-License-Identifier: Apache-2.0
#include "core/ops/permute_rows/permute_rows_kernels.h"
#include "tests/core/ops/cuda_kernels/kernel_test.h"

namespace polyphony::testing {
namespace {

class PermuteRowsKernels : public CudaKernel {
 protected:
  // `shift` moves the rows off the allocation's alignment.
  template <class T>
  void check(int64_t T_, int64_t R, int64_t D, int64_t shift) {
    SCOPED_TRACE(::testing::Message() << T_ << " tokens, " << R << " rows, width " << D << ", shift " << shift);
    const auto x = normal<T>(T_ * D + shift);
    std::vector<int64_t> token;
    for (int64_t r = 0; r < R; ++r) token.push_back(below(T_));
    const DeviceArray<T> device_x(x);
    const DeviceArray<int64_t> device_token(token);
    const auto got = in_every_order([&] {
      const DeviceArray<T> out(unwritten<T>(R * D));
      launch(ops::GatherRows{.x_TD = device_x.data() + shift,
                             .token_R = device_token.data(),
                             .out_RD = out.data(),
                             .num_rows = R,
                             .row_bytes = D * static_cast<int64_t>(sizeof(T))});
      return out.host();
    });
    std::vector<T> want;
    for (int64_t t : token) want.insert(want.end(), x.begin() + shift + t * D, x.begin() + shift + (t + 1) * D);
    EXPECT_TRUE(same_bits(got, want));
  }
};

TEST_F(PermuteRowsKernels, GatherCopiesRowsOfEveryWidth) {
  for (const int64_t D : {1, 3, 8, 60, 64, 1040})
    for (const int64_t R : {0, 1, 23}) {
      check<float>(7, R, D, 0);
      check<c10::BFloat16>(7, R, D, 0);
      check<double>(7, R, D, 0);
    }
  check<float>(1, 1, 1, 0);
}

TEST_F(PermuteRowsKernels, GatherTakesRowsThatAreNotAligned) {
  check<float>(5, 9, 64, 1);
  check<c10::BFloat16>(5, 9, 64, 3);
}

}  // namespace
}  // namespace polyphony::testing
