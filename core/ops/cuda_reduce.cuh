// SPDX-License-Identifier: Apache-2.0
// Sums over a warp and a block in a fixed tree: the same bits whatever runs first.
#pragma once
#include "core/ops/cuda_launch.cuh"

namespace polyphony::ops {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Every lane gets the sum. All 32 lanes must call it.
__device__ inline float warp_sum(float value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

// Every thread gets the sum. All threads of the block must call it, whole warps; uses blockDim.x / 32 floats of the
// block's shared memory.
__device__ inline float block_sum(float value) {
  float* warps = shared_memory<float>();
  const int num_warps = static_cast<int>(blockDim.x) / kWarp;
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < num_warps; ++w) sum += warps[w];
  return sum;
}

}  // namespace polyphony::ops
