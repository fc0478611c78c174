// SPDX-License-Identifier: Apache-2.0
// Which device to compute on. LibTorch's CUDA library is opened here, on demand: other starts stay quick.
#pragma once
#include <c10/core/Device.h>

#include <string>
#include <string_view>
#include <vector>

namespace polyphony {

// "auto" (the first GPU if there is a usable one, else the CPU), "cpu", "cuda" or "cuda:N". Asking for CUDA opens its
// library; do it before random numbers are seeded, since LibTorch looks for CUDA once. Throws UsageError for another
// word, DeviceError naming what exists if the device is not there.
at::Device parse_device(std::string_view name);

// What the driver says, without opening LibTorch's CUDA library. 0 without a driver.
int num_gpus();

// The first number of a GPU's compute capability: 8 for sm_80 to sm_89, 9 for sm_90, 10 for sm_100. 0 for the CPU.
int gpu_generation(const at::Device& device);

// Makes CUDA tensors possible: opens libtorch_cuda beside libtorch_cpu. Throws DeviceError with the loader's words.
void open_cuda();

struct DeviceReport {
  std::string torch_version;
  std::string cpu_capability;  // the widest instruction set of LibTorch's kernels: "AVX512", "AVX2", "DEFAULT"
  int cpu_threads = 0;
  int num_gpus = 0;
  bool cuda_loadable = false;
  std::string cuda_problem;  // the loader's words if not
  bool nccl_loadable = false;
  std::string nccl_problem;
};

// For `polyphony doctor`. Tries to open the libraries; never throws for what is missing.
DeviceReport device_report();

}  // namespace polyphony
