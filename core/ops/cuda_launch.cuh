// SPDX-License-Identifier: Apache-2.0
// The one kernel shape of the project: a function of the element's index, called once for each. It is also called by
// tests on the CPU, so that what a GPU would run is run everywhere.
#pragma once
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <cstdint>

namespace polyphony::ops {

template <class Element>
__global__ void run_elements(Element element, int64_t count) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) element(i);
}

// On the current stream of the current device. A count of 0 launches nothing.
template <class Element>
void launch_elements(const Element& element, int64_t count) {
  if (count == 0) return;
  constexpr int64_t kThreads = 256;
  constexpr int64_t kMaxBlocks = 65535;
  const auto blocks = static_cast<unsigned>(std::min((count + kThreads - 1) / kThreads, kMaxBlocks));
  run_elements<<<blocks, kThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(element, count);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace polyphony::ops
