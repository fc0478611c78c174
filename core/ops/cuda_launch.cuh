// SPDX-License-Identifier: Apache-2.0
// What of CUDA the kernels need beyond its language: the launch and a block's shared memory. Kernels use nothing else
// of it than blocks and threads in x, barriers, shuffles, ballots and integer atomics, so that tests/cuda_shim/, whose
// header of this name takes this one's place, can run the same sources on a CPU.
#pragma once
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdint>

namespace polyphony::ops {

struct LaunchShape {
  int64_t blocks;
  int threads;           // in each block
  int shared_bytes = 0;  // in each block; what shared_memory gives
};

// Runs a __global__ function on the current stream of the current device. No blocks: nothing is launched.
template <auto kernel, class... Arguments>
void launch_kernel(const LaunchShape& shape, const Arguments&... arguments) {
  if (shape.blocks == 0) return;
  kernel<<<static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.threads),
           static_cast<unsigned>(shape.shared_bytes), c10::cuda::getCurrentCUDAStream()>>>(arguments...);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

// The block's shared memory: LaunchShape::shared_bytes, not initialised, aligned to 16 bytes.
template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char polyphony_shared_bytes[];
  return reinterpret_cast<T*>(polyphony_shared_bytes);
}

}  // namespace polyphony::ops
