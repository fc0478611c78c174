// SPDX-License-Identifier: Apache-2.0
// Neighbouring values that a thread loads and stores in one piece.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>

#include "core/ops/cuda_launch.cuh"

namespace polyphony::ops {

template <class T, int n>
struct alignas(sizeof(T) * n) Pack {
  T at[n];
};

// The most that one load of a GPU carries.
template <class T>
constexpr int kFullPack = 16 / static_cast<int>(sizeof(T));

// True where rows of `width` values at these addresses (null ones do not count) fall into whole packs of n values.
template <class T, class... Pointers>
bool fits_packs(int64_t width, int n, const Pointers*... addresses) {
  const auto aligned = [&](const void* p) {
    return reinterpret_cast<uintptr_t>(p) % (sizeof(T) * static_cast<unsigned>(n)) == 0;
  };
  return width % n == 0 && (aligned(addresses) && ...);
}

template <int n, class T>
__device__ inline Pack<T, n> load_pack(const T* from, int64_t pack) {
  return reinterpret_cast<const Pack<T, n>*>(from)[pack];
}
template <int n, class T>
__device__ inline void store_pack(T* to, int64_t pack, const Pack<T, n>& values) {
  reinterpret_cast<Pack<T, n>*>(to)[pack] = values;
}

}  // namespace polyphony::ops
