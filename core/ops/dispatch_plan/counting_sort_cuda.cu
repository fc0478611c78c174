// SPDX-License-Identifier: Apache-2.0
// A pass of a stable counting sort: count the digits of each tile of rows, turn the counts into places by a prefix sum
// over (digit, tile), then move every row to its place, which is that of its digit and tile plus the number of equal
// digits before it in the tile.
#include "core/ops/cuda_reduce.cuh"
#include "core/ops/dispatch_plan/dispatch_plan_kernels.h"

namespace polyphony::ops {
namespace {

constexpr int kDigits = 1 << kSortBits;
constexpr int kThreads = kDigits;  // thread d also keeps the books of digit d
constexpr int kWarps = kThreads / kWarp;
constexpr int kRounds = 8;  // rows of a tile that a thread looks at
constexpr int64_t kTile = int64_t{kThreads} * kRounds;

int64_t tiles_of(int64_t num_rows) { return (num_rows + kTile - 1) / kTile; }

__device__ inline int digit_of(int32_t key, int shift) { return (key >> shift) & (kDigits - 1); }

// Rounds of this block's tile that hold any row: the same for all threads.
__device__ inline int rounds_of(int64_t num_rows) {
  const int64_t left = num_rows - static_cast<int64_t>(blockIdx.x) * kTile;
  return left >= kTile ? kRounds : static_cast<int>((left + kThreads - 1) / kThreads);
}

__device__ inline int64_t row_of(int round) {
  return static_cast<int64_t>(blockIdx.x) * kTile + round * kThreads + threadIdx.x;
}

__global__ void digit_counts_kernel(SortPass in) {
  int* count = shared_memory<int>();
  count[threadIdx.x] = 0;
  __syncthreads();
  const int rounds = rounds_of(in.num_rows);
  for (int round = 0; round < rounds; ++round) {
    const int64_t i = row_of(round);
    if (i < in.num_rows) atomicAdd(&count[digit_of(in.key_in[i], in.shift)], 1);
  }
  __syncthreads();
  in.counts[static_cast<int64_t>(threadIdx.x) * gridDim.x + blockIdx.x] = count[threadIdx.x];
}

// counts[i] becomes the sum of those before it. One block.
__global__ void prefix_sum_kernel(int32_t* counts, int64_t num_counts) {
  int* warps = shared_memory<int>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  int carry = 0;
  for (int64_t first = 0; first < num_counts; first += kThreads) {
    const int64_t i = first + threadIdx.x;
    const int count = i < num_counts ? counts[i] : 0;
    int sum = count;  // of the lanes up to this one
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const int below = __shfl_up_sync(kAllLanes, sum, distance);
      if (lane >= distance) sum += below;
    }
    if (lane == kWarp - 1) warps[warp] = sum;
    __syncthreads();
    int before = carry + sum - count;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) before += warps[w];
      carry += warps[w];
    }
    if (i < num_counts) counts[i] = before;
    __syncthreads();
  }
}

__global__ void scatter_rows_kernel(SortPass in) {
  int* next = shared_memory<int>();  // kDigits: the place of a digit's next row
  int* warps = next + kDigits;       // (kWarps, kDigits): how many of a digit each warp has in this round
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  next[threadIdx.x] = in.counts[static_cast<int64_t>(threadIdx.x) * gridDim.x + blockIdx.x];
  const int rounds = rounds_of(in.num_rows);
  for (int round = 0; round < rounds; ++round) {
    for (int w = 0; w < kWarps; ++w) warps[w * kDigits + threadIdx.x] = 0;
    __syncthreads();
    const int64_t i = row_of(round);
    const bool inside = i < in.num_rows;
    const int32_t key = inside ? in.key_in[i] : 0;
    const int digit = digit_of(key, in.shift);
    unsigned peers = __ballot_sync(kAllLanes, inside);  // lanes with this lane's digit
    for (int bit = 0; bit < kSortBits; ++bit) {
      const bool one = (digit >> bit) & 1;
      const unsigned ones = __ballot_sync(kAllLanes, one);
      peers &= one ? ones : ~ones;
    }
    const int before = __popc(peers & ((1u << lane) - 1));
    if (inside && before == 0) warps[warp * kDigits + digit] = __popc(peers);
    __syncthreads();
    if (inside) {
      int place = next[digit] + before;
      for (int w = 0; w < warp; ++w) place += warps[w * kDigits + digit];
      in.key_out[place] = key;
      in.value_out[place] = in.value_in[i];
    }
    __syncthreads();
    for (int w = 0; w < kWarps; ++w) next[threadIdx.x] += warps[w * kDigits + threadIdx.x];
  }
}

constexpr int ints(int count) { return count * static_cast<int>(sizeof(int)); }

}  // namespace

int64_t sort_scratch(int64_t num_rows) { return tiles_of(num_rows) * kDigits; }

void launch(const SortPass& pass) {
  const int64_t tiles = tiles_of(pass.num_rows);
  if (tiles == 0) return;
  launch_kernel<digit_counts_kernel>({tiles, kThreads, ints(kDigits)}, pass);
  launch_kernel<prefix_sum_kernel>({1, kThreads, ints(kWarps)}, pass.counts, tiles * kDigits);
  launch_kernel<scatter_rows_kernel>({tiles, kThreads, ints((1 + kWarps) * kDigits)}, pass);
}

}  // namespace polyphony::ops
