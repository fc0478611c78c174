// SPDX-License-Identifier: Apache-2.0
// The device of the tests of whole operations: here CPU tensors, whose kernels the shim runs. Its twin is
// tests/cuda_gpu/gpu_device/tensor_device.h.
#pragma once
#include <c10/core/Device.h>

namespace polyphony::testing {

inline bool have_tensor_device() { return true; }
inline at::Device tensor_device() { return at::kCPU; }

// Also at::_grouped_mm has a plain version for the CPU.
inline bool has_one_launch() { return true; }

}  // namespace polyphony::testing
