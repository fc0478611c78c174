// SPDX-License-Identifier: Apache-2.0
// The words of CUDA that kernels use, on the CPU. Threads do not run at the same time, so that an atomic operation is a
// plain one. What is missing here is not part of the kernels' subset.
#pragma once
#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "tests/cuda_shim/grid.h"

#define __global__
#define __device__

namespace polyphony::cuda_shim {

template <class T>
uint64_t to_bits(T value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

// What the lane `source` brought; a lane outside the warp gives the caller's own value back.
template <class T>
T shuffle(const char* name, unsigned mask, T value, int source, std::source_location where) {
  const auto brought = meet({name, false, mask, where}, to_bits(value));
  if (source < 0 || source >= static_cast<int>(kWarp)) return value;
  const auto lane = static_cast<unsigned>(source);
  if (!(mask >> lane & 1)) fail(std::string(name) + " reads lane " + std::to_string(lane) + ", which takes no part");
  T result;
  std::memcpy(&result, &brought[lane], sizeof(T));
  return result;
}

inline int lane() { return static_cast<int>(threadIdx.x % kWarp); }

}  // namespace polyphony::cuda_shim

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  polyphony::cuda_shim::meet({"__syncthreads", true, 0, where}, 0);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, std::source_location where = std::source_location::current()) {
  polyphony::cuda_shim::meet({"__syncwarp", false, mask, where}, 0);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, std::source_location where = std::source_location::current()) {
  return polyphony::cuda_shim::shuffle("__shfl_sync", mask, value, source, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, std::source_location where = std::source_location::current()) {
  return polyphony::cuda_shim::shuffle("__shfl_xor_sync", mask, value, polyphony::cuda_shim::lane() ^ bits, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int delta, std::source_location where = std::source_location::current()) {
  return polyphony::cuda_shim::shuffle("__shfl_up_sync", mask, value, polyphony::cuda_shim::lane() - delta, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int delta, std::source_location where = std::source_location::current()) {
  return polyphony::cuda_shim::shuffle("__shfl_down_sync", mask, value, polyphony::cuda_shim::lane() + delta, where);
}
inline unsigned __ballot_sync(unsigned mask, bool vote, std::source_location where = std::source_location::current()) {
  const auto brought = polyphony::cuda_shim::meet({"__ballot_sync", false, mask, where}, vote);
  unsigned result = 0;
  for (unsigned lane = 0; lane < polyphony::cuda_shim::kWarp; ++lane)
    result |= static_cast<unsigned>(brought[lane]) << lane;
  return result;
}
inline int __popc(unsigned bits) { return std::popcount(bits); }

template <class T>
T atomicAdd(T* address, T value) {
  static_assert(std::is_integral_v<T>, "the sum of floats depends on their order");
  const T before = *address;
  *address = static_cast<T>(before + value);
  return before;
}
template <class T>
T atomicMin(T* address, T value) {
  const T before = *address;
  *address = std::min(before, value);
  return before;
}
