// SPDX-License-Identifier: Apache-2.0
// The device of the tests of whole operations: here the first GPU. Its twin is
// tests/cuda_shim/shim_device/tensor_device.h.
#pragma once
#include "core/device.h"

namespace polyphony::testing {

inline bool have_tensor_device() { return num_gpus() > 0; }
inline at::Device tensor_device() { return parse_device("cuda"); }
inline bool has_one_launch() { return gpu_generation(tensor_device()) >= 9; }

}  // namespace polyphony::testing
