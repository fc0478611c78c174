// SPDX-License-Identifier: Apache-2.0
// The device of the kernel tests: here the first GPU. Its twin is tests/cuda_shim/shim_device/test_device.h.
#pragma once
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/device.h"

namespace polyphony::testing {

inline bool have_test_device() { return num_gpus() > 0; }
inline void use_thread_order(unsigned) {}  // a GPU orders as it likes

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : size_(values.size()) {
    if (size_ == 0) return;
    EXPECT_EQ(cudaMalloc(&values_, size_ * sizeof(T)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(values_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~DeviceArray() { cudaFree(values_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return static_cast<T*>(values_); }
  std::vector<T> host() const {
    std::vector<T> values(size_);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(values.data(), values_, size_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

 private:
  size_t size_;
  void* values_ = nullptr;
};

}  // namespace polyphony::testing
