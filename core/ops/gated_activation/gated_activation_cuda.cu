// SPDX-License-Identifier: Apache-2.0
#include "core/ops/gated_activation/gated_activation_kernels.h"

#include "core/ops/cuda_pack.cuh"
#include "core/ops/cuda_reduce.cuh"
#include "core/ops/gated_activation/gate_value.h"

namespace polyphony::ops {
namespace {

constexpr int kThreads = 128;

// A block a row, a pack of n columns a thread.
template <class T, int n>
__global__ void gated_activation_kernel(GatedActivationRows<T> in) {
  const int64_t r = blockIdx.x;
  const int64_t packs = in.F / n;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, n> gate = load_pack<n>(in.h_R2F, r * 2 * packs + i);
    const Pack<T, n> up = load_pack<n>(in.h_R2F, (r * 2 + 1) * packs + i);
    Pack<T, n> a;
    for (int j = 0; j < n; ++j)
      a.at[j] =
          static_cast<T>(gate_value(static_cast<float>(gate.at[j]), in.gelu).value * static_cast<float>(up.at[j]));
    store_pack<n>(in.a_RF, r * packs + i, a);
  }
}

template <class T, int n>
__global__ void gated_activation_gradient_kernel(GatedActivationGradientRows<T> in) {
  const int64_t r = blockIdx.x;
  const int64_t packs = in.F / n;
  const float weight = in.weight_N == nullptr ? 1.0f : in.weight_N[in.row_R[r]];
  float dot = 0;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, n> gate = load_pack<n>(in.h_R2F, r * 2 * packs + i);
    const Pack<T, n> up = load_pack<n>(in.h_R2F, (r * 2 + 1) * packs + i);
    const Pack<T, n> da = load_pack<n>(in.da_RF, r * packs + i);
    Pack<T, n> dgate, dup, weighted_a;
    for (int j = 0; j < n; ++j) {
      const GateValue g = gate_value(static_cast<float>(gate.at[j]), in.gelu);
      const float u = static_cast<float>(up.at[j]);
      const float d = static_cast<float>(da.at[j]);
      const float a = g.value * u;
      dot += d * a;
      dgate.at[j] = static_cast<T>(weight * d * u * g.slope);
      dup.at[j] = static_cast<T>(weight * d * g.value);
      weighted_a.at[j] = static_cast<T>(weight * a);
    }
    store_pack<n>(in.dh_R2F, r * 2 * packs + i, dgate);
    store_pack<n>(in.dh_R2F, (r * 2 + 1) * packs + i, dup);
    if (in.weighted_a_RF != nullptr) store_pack<n>(in.weighted_a_RF, r * packs + i, weighted_a);
  }
  if (in.dweight_N == nullptr) return;  // the same for all threads
  dot = block_sum(dot);
  if (threadIdx.x == 0) in.dweight_N[in.row_R[r]] = dot;
}

template <class T>
void forward(const GatedActivationRows<T>& in) {
  constexpr int n = kFullPack<T>;
  const LaunchShape shape{in.num_rows, kThreads};
  if (fits_packs<T>(in.F, n, in.h_R2F, in.a_RF)) return launch_kernel<gated_activation_kernel<T, n>>(shape, in);
  launch_kernel<gated_activation_kernel<T, 1>>(shape, in);
}

template <class T>
void backward(const GatedActivationGradientRows<T>& in) {
  constexpr int n = kFullPack<T>;
  const LaunchShape shape{in.num_rows, kThreads, kThreads / kWarp * static_cast<int>(sizeof(float))};
  if (fits_packs<T>(in.F, n, in.h_R2F, in.da_RF, in.dh_R2F, in.weighted_a_RF))
    return launch_kernel<gated_activation_gradient_kernel<T, n>>(shape, in);
  launch_kernel<gated_activation_gradient_kernel<T, 1>>(shape, in);
}

}  // namespace

void launch(const GatedActivationRows<float>& rows) { forward(rows); }
void launch(const GatedActivationRows<c10::BFloat16>& rows) { forward(rows); }
void launch(const GatedActivationGradientRows<float>& rows) { backward(rows); }
void launch(const GatedActivationGradientRows<c10::BFloat16>& rows) { backward(rows); }

}  // namespace polyphony::ops
