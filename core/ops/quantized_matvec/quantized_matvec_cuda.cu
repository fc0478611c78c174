// SPDX-License-Identifier: Apache-2.0
// A warp an output value: its lanes stride over the bytes of the weights' row, which is read once for each row of x.
#include "core/ops/quantized_matvec/quantized_matvec_kernels.h"

#include "core/ops/cuda_pack.cuh"
#include "core/ops/cuda_reduce.cuh"

namespace polyphony::ops {
namespace {

constexpr int kThreads = 128;
constexpr int kOutputsPerBlock = kThreads / kWarp;

template <int bits>
__device__ inline float weight_at(uint8_t byte, int i) {
  if (bits == 8) return static_cast<float>(static_cast<int8_t>(byte));
  return static_cast<float>((byte >> (4 * i)) & 15) - 8.0f;
}

// n bytes a load; their weights lie in one group.
template <class T, int bits, int n>
__global__ void quantized_matvec_kernel(QuantizedMatvec<T> in) {
  constexpr int kPerByte = 8 / bits;
  constexpr int kPerPack = n * kPerByte;
  const int64_t blocks_a_row = (in.O + kOutputsPerBlock - 1) / kOutputsPerBlock;
  const int64_t r = blockIdx.x / blocks_a_row;
  const int64_t o = blockIdx.x % blocks_a_row * kOutputsPerBlock + threadIdx.x / kWarp;
  if (o >= in.O) return;  // a whole warp
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t channel = (in.expert_R == nullptr ? 0 : in.expert_R[r]) * in.O + o;
  const T* x = in.x_TI + (in.token_R == nullptr ? r : in.token_R[r]) * in.I;
  const int64_t packs = in.I / kPerPack;
  float sum = 0;
  for (int64_t pack = lane; pack < packs; pack += kWarp) {
    const Pack<uint8_t, n> q = load_pack<n>(in.q_EOB, channel * packs + pack);
    float part = 0;
    for (int b = 0; b < n; ++b)
      for (int i = 0; i < kPerByte; ++i)
        part += weight_at<bits>(q.at[b], i) * static_cast<float>(x[pack * kPerPack + b * kPerByte + i]);
    sum += in.scale_EOG[channel * (in.I / in.group) + pack * kPerPack / in.group] * part;
  }
  sum = warp_sum(sum);
  if (lane == 0) in.y_RO[r * in.O + o] = static_cast<T>(sum);
}

template <class T, int bits>
void multiply(const QuantizedMatvec<T>& in) {
  constexpr int n = kFullPack<uint8_t>;
  const LaunchShape shape{in.num_rows * ((in.O + kOutputsPerBlock - 1) / kOutputsPerBlock), kThreads};
  const bool wide = in.group % (n * 8 / bits) == 0 && fits_packs<uint8_t>(in.I * bits / 8, n, in.q_EOB);
  if (wide) return launch_kernel<quantized_matvec_kernel<T, bits, n>>(shape, in);
  launch_kernel<quantized_matvec_kernel<T, bits, 1>>(shape, in);
}

template <class T>
void run(const QuantizedMatvec<T>& in) {
  in.bits == 8 ? multiply<T, 8>(in) : multiply<T, 4>(in);
}

}  // namespace

void launch(const QuantizedMatvec<float>& product) { run(product); }
void launch(const QuantizedMatvec<c10::BFloat16>& product) { run(product); }

}  // namespace polyphony::ops
