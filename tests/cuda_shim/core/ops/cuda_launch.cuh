// SPDX-License-Identifier: Apache-2.0
// Stands in for core/ops/cuda_launch.cuh: the tests' include path comes first, and kernels run on the CPU.
#pragma once
#include <string_view>

#include "tests/cuda_shim/intrinsics.h"

namespace polyphony::ops {

struct LaunchShape {
  int64_t blocks;
  int threads;
  int shared_bytes = 0;
};

// "sum_rows_kernel<float, 4>": the compiler's own name of the kernel, without namespaces.
template <auto kernel>
std::string kernel_name() {
  std::string_view name = __PRETTY_FUNCTION__;
  name.remove_prefix(name.find("kernel = ") + sizeof("kernel = ") - 1);
  name = name.substr(0, name.find_first_of(";]"));
  const size_t space = name.rfind("::", name.find('<'));
  return std::string(space == std::string_view::npos ? name : name.substr(space + 2));
}

template <auto kernel, class... Arguments>
void launch_kernel(const LaunchShape& shape, const Arguments&... arguments) {
  if (shape.blocks == 0) return;
  cuda_shim::run({.kernel = kernel_name<kernel>(),
                  .blocks = shape.blocks,
                  .threads = shape.threads,
                  .shared_bytes = shape.shared_bytes},
                 [&] { kernel(arguments...); });
}

template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(cuda_shim::shared_bytes());
}

}  // namespace polyphony::ops
