// SPDX-License-Identifier: Apache-2.0
// What the tests of the operations on CUDA tensors share.
#pragma once
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tensor_device.h"

namespace polyphony::testing {

class CudaOperation : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_tensor_device()) GTEST_SKIP() << "no GPU was found";
    at::manual_seed(11);
  }
};

// A copy on the device under test.
inline at::Tensor there(const at::Tensor& t) { return t.defined() ? t.to(tensor_device()) : t; }

// Largest difference relative to the largest value of the expected tensor; at most 1e9 where something is not finite.
inline double distance(const at::Tensor& got, const at::Tensor& expected) {
  EXPECT_EQ(got.sizes(), expected.sizes());
  EXPECT_EQ(got.scalar_type(), expected.scalar_type());
  if (expected.numel() == 0) return 0;
  const at::Tensor want = expected.cpu().to(at::kDouble);
  const at::Tensor difference = (got.cpu().to(at::kDouble) - want).abs().max();
  return (difference / want.abs().max().clamp_min(1e-6)).nan_to_num(1e9).item<double>();
}

}  // namespace polyphony::testing
