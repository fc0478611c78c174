// SPDX-License-Identifier: Apache-2.0
#include "core/device.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "core/check.h"

namespace polyphony {
namespace {

// The folder of the library that a function of LibTorch lives in; empty if the loader does not say.
std::filesystem::path torch_lib_dir() {
  Dl_info info{};
  const auto address = reinterpret_cast<const void*>(&at::get_num_threads);
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
  return std::filesystem::path(info.dli_fname).parent_path();
}

// Opens the first of the files that can be opened, for good: LibTorch registers its kernels and cannot be unloaded.
// Returns the loader's last words, empty on success.
std::string open_library(const std::vector<std::filesystem::path>& files) {
  std::string problem;
  for (const auto& file : files) {
    if (dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return {};
    problem = dlerror();
  }
  return problem;
}

std::string try_open_cuda() { return open_library({torch_lib_dir() / "libtorch_cuda.so", "libtorch_cuda.so"}); }

std::string devices_that_exist() {
  const int count = num_gpus();
  if (count == 0) return "cpu (no GPU was found)";
  return count == 1 ? "cpu, cuda:0" : join("cpu, cuda:0 to cuda:", count - 1);
}

at::Device cuda_device(int index) {
  check<DeviceError>(index < num_gpus(), "[device] there is no cuda:", index, "; there is ", devices_that_exist());
  open_cuda();
  return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
}

}  // namespace

int num_gpus() {
  // LibTorch's CPU library brings the CUDA runtime along, so that its function is already in the program.
  using CountFunction = int(int*);
  const auto count_devices = reinterpret_cast<CountFunction*>(dlsym(RTLD_DEFAULT, "cudaGetDeviceCount"));
  int count = 0;
  if (count_devices == nullptr || count_devices(&count) != 0) return 0;
  return count;
}

int gpu_generation(const at::Device& device) {
  constexpr int kComputeCapabilityMajor = 75;  // the runtime's number of this attribute
  using AttributeFunction = int(int*, int, int);
  const auto get_attribute = reinterpret_cast<AttributeFunction*>(dlsym(RTLD_DEFAULT, "cudaDeviceGetAttribute"));
  int major = 0;
  if (!device.is_cuda() || get_attribute == nullptr ||
      get_attribute(&major, kComputeCapabilityMajor, std::max<int>(device.index(), 0)) != 0)
    return 0;
  return major;
}

void open_cuda() {
  const std::string problem = try_open_cuda();
  check<DeviceError>(problem.empty(), "[device] expected LibTorch's CUDA library, got: ", problem);
}

at::Device parse_device(std::string_view name) {
  constexpr std::string_view kCuda = "cuda";
  if (name == "cpu") return at::kCPU;
  if (name == "auto")
    return num_gpus() > 0 && try_open_cuda().empty() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  if (name == kCuda) return cuda_device(0);
  int index = -1;
  if (name.starts_with("cuda:")) {
    const char* begin = name.data() + kCuda.size() + 1;
    const char* end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(begin, end, index);
    if (error != std::errc{} || stop != end || index < 0) index = -1;
  }
  check<UsageError>(index >= 0, "[device] expected auto, cpu, cuda or cuda:N, got '", name, "'");
  return cuda_device(index);
}

DeviceReport device_report() {
  DeviceReport report;
  report.torch_version = TORCH_VERSION;
  report.cpu_capability = at::get_cpu_capability();
  report.cpu_threads = at::get_num_threads();
  report.num_gpus = num_gpus();
  report.cuda_problem = try_open_cuda();
  report.cuda_loadable = report.cuda_problem.empty();
  const auto beside = torch_lib_dir() / ".." / ".." / "nvidia" / "nccl" / "lib" / "libnccl.so.2";
  report.nccl_problem = open_library({"libnccl.so.2", beside});
  report.nccl_loadable = report.nccl_problem.empty();
  return report;
}

}  // namespace polyphony
