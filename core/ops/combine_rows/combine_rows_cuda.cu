// SPDX-License-Identifier: Apache-2.0
#include "core/ops/combine_rows/combine_rows_kernels.h"

#include "core/ops/cuda_pack.cuh"
#include "core/ops/cuda_reduce.cuh"

namespace polyphony::ops {
namespace {

constexpr int kThreads = 128;

// A block a token, a pack of n columns a thread: its rows are summed one after another, no two threads share a sum.
template <class T, int n>
__global__ void sum_rows_kernel(SumRows<T> in) {
  const int64_t t = blockIdx.x;
  const int64_t packs = in.D / n;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    float sum[n] = {};
    for (int64_t s = in.token_offset_T1[t]; s < in.token_offset_T1[t + 1]; ++s) {
      const int64_t r = in.slot_R[s];
      const float weight = in.weight_R == nullptr ? 1.0f : in.weight_R[r];
      const Pack<T, n> y = load_pack<n>(in.y_RD, r * packs + i);
      for (int j = 0; j < n; ++j) sum[j] += weight * static_cast<float>(y.at[j]);
    }
    if (in.extra_TD != nullptr) {
      const Pack<T, n> extra = load_pack<n>(in.extra_TD, t * packs + i);
      for (int j = 0; j < n; ++j) sum[j] += static_cast<float>(extra.at[j]);
    }
    Pack<T, n> out;
    for (int j = 0; j < n; ++j) out.at[j] = static_cast<T>(sum[j]);
    store_pack<n>(in.out_TD, t * packs + i, out);
  }
}

// A block a row.
template <class T, int n>
__global__ void combine_gradient_kernel(CombineGradient<T> in) {
  const int64_t r = blockIdx.x;
  const int64_t row = in.row_R[r];
  const int64_t packs = in.D / n;
  const float weight = in.weight_N[row];
  float dot = 0;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, n> d = load_pack<n>(in.dout_TD, in.token_R[r] * packs + i);
    const Pack<T, n> y = load_pack<n>(in.y_RD, r * packs + i);
    Pack<T, n> dy;
    for (int j = 0; j < n; ++j) {
      const float value = static_cast<float>(d.at[j]);
      dot += value * static_cast<float>(y.at[j]);
      dy.at[j] = static_cast<T>(weight * value);
    }
    store_pack<n>(in.dy_RD, r * packs + i, dy);
  }
  dot = block_sum(dot);
  if (threadIdx.x == 0) in.dweight_N[row] = dot;
}

template <class T>
void sum_rows(const SumRows<T>& in) {
  constexpr int n = kFullPack<T>;
  const LaunchShape shape{in.num_tokens, kThreads};
  if (fits_packs<T>(in.D, n, in.y_RD, in.extra_TD, in.out_TD)) return launch_kernel<sum_rows_kernel<T, n>>(shape, in);
  launch_kernel<sum_rows_kernel<T, 1>>(shape, in);
}

template <class T>
void combine_gradient(const CombineGradient<T>& in) {
  constexpr int n = kFullPack<T>;
  const LaunchShape shape{in.num_rows, kThreads, kThreads / kWarp * static_cast<int>(sizeof(float))};
  if (fits_packs<T>(in.D, n, in.dout_TD, in.y_RD, in.dy_RD))
    return launch_kernel<combine_gradient_kernel<T, n>>(shape, in);
  launch_kernel<combine_gradient_kernel<T, 1>>(shape, in);
}

}  // namespace

void launch(const SumRows<float>& sum) { sum_rows(sum); }
void launch(const SumRows<c10::BFloat16>& sum) { sum_rows(sum); }
void launch(const CombineGradient<float>& gradient) { combine_gradient(gradient); }
void launch(const CombineGradient<c10::BFloat16>& gradient) { combine_gradient(gradient); }

}  // namespace polyphony::ops
