// SPDX-License-Identifier: Apache-2.0
// The device of the kernel tests: here the CPU, through the shim. Its twin is tests/cuda_gpu/gpu_device/test_device.h.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "tests/cuda_shim/grid.h"

namespace polyphony::testing {

inline bool have_test_device() { return true; }
inline void use_thread_order(unsigned order) { cuda_shim::use_order(order); }

// Values in the device's memory: exactly as many bytes as there are, so that the address sanitizer sees every step
// beside them. No values: no address either.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values)
      : size_(values.size()), values_(values.empty() ? nullptr : new T[values.size()]) {
    std::copy(values.begin(), values.end(), values_.get());
  }
  T* data() const { return values_.get(); }
  std::vector<T> host() const { return {values_.get(), values_.get() + size_}; }

 private:
  size_t size_;
  std::unique_ptr<T[]> values_;
};

}  // namespace polyphony::testing
