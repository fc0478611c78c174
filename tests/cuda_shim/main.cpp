// SPDX-License-Identifier: Apache-2.0
// Runs the tests, then says which kernels they ran. With all tests, a kernel that none has run is a failure.
#include <gtest/gtest.h>

#include <exception>
#include <iostream>

#include "tests/cuda_shim/coverage.h"

int main(int argc, char** argv) {
  namespace shim = polyphony::cuda_shim;
  ::testing::InitGoogleTest(&argc, argv);
  const bool all = ::testing::GTEST_FLAG(filter) == "*";
  const int failed = RUN_ALL_TESTS();
  try {
    const auto kernels = shim::kernels_under(POLYPHONY_SOURCE_DIR "/core");
    std::cout << shim::coverage_table(kernels);
    if (!all) return failed;
    const auto faults = shim::coverage_faults(kernels);
    for (const auto& fault : faults) std::cout << "FAILED: " << fault << "\n";
    return failed != 0 || !faults.empty() ? 1 : 0;
  } catch (const std::exception& problem) {
    std::cout << "FAILED: " << problem.what() << "\n";
    return 1;
  }
}
