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
__device__ inline float number_at(uint8_t byte, int i) {
  if (bits == 8) return static_cast<float>(static_cast<int8_t>(byte));
  return static_cast<float>((byte >> (4 * i)) & 15) - 8.0f;
}

// n bytes a load; their weights lie in one group.
template <class T, int bits, int n>
__global__ void quantized_matvec_kernel(QuantizedMatvec<T> in) {
  constexpr int kPerByte = 8 / bits;
  constexpr int kPerPack = n * kPerByte;
  const int64_t blocks_a_row = (in.N + kOutputsPerBlock - 1) / kOutputsPerBlock;
  const int64_t r = blockIdx.x / blocks_a_row;
  const int64_t output = blockIdx.x % blocks_a_row * kOutputsPerBlock + threadIdx.x / kWarp;
  if (output >= in.N) return;  // a whole warp
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = (in.expert_R == nullptr ? 0 : in.expert_R[r]) * in.N + output;
  const T* x = in.x_TK + (in.token_R == nullptr ? r : in.token_R[r]) * in.K;
  const c10::BFloat16* scale = in.scales_ENG + row * ((in.K + in.group - 1) / in.group);
  const int64_t packs = (in.K + kPerPack - 1) / kPerPack;
  float sum = 0;
  for (int64_t pack = lane; pack < packs; pack += kWarp) {
    const Pack<uint8_t, n> values = load_pack<n>(in.values_ENB, row * packs + pack);
    float part = 0;
    for (int i = 0; i < kPerPack; ++i) {
      const int64_t k = pack * kPerPack + i;
      if (k < in.K)  // an odd K leaves half a byte
        part += number_at<bits>(values.at[i / kPerByte], i % kPerByte) * static_cast<float>(x[k]);
    }
    sum += static_cast<float>(scale[pack * kPerPack / in.group]) * part;
  }
  sum = warp_sum(sum);
  if (lane == 0) in.y_RN[r * in.N + output] = static_cast<T>(sum);
}

template <class T, int bits>
void multiply(const QuantizedMatvec<T>& in) {
  constexpr int n = kFullPack<uint8_t>;
  constexpr int kPerPack = n * 8 / bits;
  const LaunchShape shape{in.num_rows * ((in.N + kOutputsPerBlock - 1) / kOutputsPerBlock), kThreads};
  const bool wide = in.K % kPerPack == 0 && in.group % kPerPack == 0 && fits_packs<uint8_t>(n, n, in.values_ENB);
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
