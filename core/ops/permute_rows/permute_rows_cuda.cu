// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda_launch.cuh"
#include "core/ops/cuda_pack.cuh"
#include "core/ops/permute_rows/permute_rows_kernels.h"

namespace polyphony::ops {
namespace {

constexpr int kThreads = 128;

// A block a row, in words of n times 16 bits.
template <int n>
__global__ void gather_rows_kernel(const uint16_t* x_TD, const int64_t* token_R, uint16_t* out_RD, int64_t words) {
  const uint16_t* from = x_TD + token_R[blockIdx.x] * words * n;
  uint16_t* to = out_RD + static_cast<int64_t>(blockIdx.x) * words * n;
  for (int64_t i = threadIdx.x; i < words; i += blockDim.x) store_pack<n>(to, i, load_pack<n>(from, i));
}

template <int n>
void gather_words(const GatherRows& gather) {
  launch_kernel<gather_rows_kernel<n>>({gather.num_rows, kThreads}, static_cast<const uint16_t*>(gather.x_TD),
                                       gather.token_R, static_cast<uint16_t*>(gather.out_RD), gather.row_bytes / 2 / n);
}

}  // namespace

void launch(const GatherRows& gather) {
  constexpr int kWide = kFullPack<uint16_t>;
  const bool wide = fits_packs<uint16_t>(gather.row_bytes / 2, kWide, gather.x_TD, gather.out_RD);
  (wide ? gather_words<kWide> : gather_words<1>)(gather);
}

}  // namespace polyphony::ops
