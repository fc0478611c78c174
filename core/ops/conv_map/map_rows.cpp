// SPDX-License-Identifier: Apache-2.0
// Loops that the compiler turns into vectors, cloned for the instruction sets of the machine that runs them. bf16
// becomes f32 in one loop and f32 is computed in another, which it does not manage both at once.
#include "core/ops/conv_map/map_rows.h"

#include <algorithm>

#include "core/base/cpu_level.h"
#include "core/ops/bf16_product/tiles.h"
#include "core/ops/fast_exp.h"
#include "core/ops/row_math.h"

namespace polyphony::ops {
namespace {

using Bf16 = c10::BFloat16;

// A value as row_math.h loads and stores it.
inline const float* value(const float* x) { return x; }
inline const Bf16* value(const uint16_t* x) { return reinterpret_cast<const Bf16*>(x); }
inline float* value(float* x) { return x; }
inline Bf16* value(uint16_t* x) { return reinterpret_cast<Bf16*>(x); }

constexpr int64_t kPanel = kPositions * kChannels;

template <class In>
[[gnu::always_inline]] inline void fill(const RowIn<In>& in, uint16_t* out) {
  float panel[kPanel] = {}, power[kPanel];
  for (int64_t p = 0; p < in.positions; ++p) {
    const auto* x = value(in.x + (in.doubled ? (in.first + p) / 2 : in.first + p) * in.stride);
    float* to = panel + p * kChannels;
    if (in.channels == kChannels) {
#pragma omp simd
      for (int64_t c = 0; c < kChannels; ++c) to[c] = load(x[c]);
    } else {
      for (int64_t c = 0; c < in.channels; ++c) to[c] = load(x[c]);
    }
  }
  if (in.scale != nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < kPanel; ++i) panel[i] = panel[i] * in.scale[i] + in.shift[i];
  }
  if (in.scale != nullptr && in.silu) {
#pragma omp simd
    for (int64_t i = 0; i < kPanel; ++i) power[i] = fast_exp(-panel[i]);
#pragma omp simd
    for (int64_t i = 0; i < kPanel; ++i) panel[i] = panel[i] / (1 + power[i]);
  }
  const int64_t count = in.positions * kChannels;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) store(value(out) + i, panel[i]);
}

template <class Out>
[[gnu::always_inline]] inline void finish(const RowsOut<Out>& rows) {
  constexpr int64_t kHalf = kChannels / 2;
  float total[kChannels], squares[kChannels], panel[kChannels];
  std::copy_n(rows.total, kChannels, total);
  std::copy_n(rows.squares, kChannels, squares);
  const bool whole = rows.channels == kChannels;
  for (int64_t p = 0; p < rows.positions; ++p) {
    const float* low = rows.sum + p * kHalf;
#pragma omp simd
    for (int64_t c = 0; c < kHalf; ++c) {
      panel[c] = low[c] + rows.bias[c];
      panel[kHalf + c] = low[kHalf * kHalf + c] + rows.bias[kHalf + c];
    }
    if (rows.residual) {
      const auto* residual = value(rows.residual + p * rows.stride);
      if (whole) {
#pragma omp simd
        for (int64_t c = 0; c < kChannels; ++c) panel[c] += load(residual[c]);
      } else {
        for (int64_t c = 0; c < rows.channels; ++c) panel[c] += load(residual[c]);
      }
    }
#pragma omp simd
    for (int64_t c = 0; c < kChannels; ++c) {
      total[c] += panel[c];
      squares[c] += panel[c] * panel[c];
    }
    auto* out = value(rows.out + p * rows.stride);
    if (whole) {
#pragma omp simd
      for (int64_t c = 0; c < kChannels; ++c) store(out + c, panel[c]);
    } else {
      for (int64_t c = 0; c < rows.channels; ++c) store(out + c, panel[c]);
    }
  }
  std::copy_n(total, kChannels, rows.total);
  std::copy_n(squares, kChannels, rows.squares);
}

#define POLYPHONY_MAP_KERNELS(T)                                                                          \
  [[gnu::target_clones("avx512f", "avx2", "default")]] void fill_##T(const RowIn<T>& in, uint16_t* out) { \
    fill(in, out);                                                                                        \
  }                                                                                                       \
  [[gnu::target_clones("avx512f", "avx2", "default")]] void finish_##T(const RowsOut<T>& rows) { finish(rows); }
POLYPHONY_MAP_KERNELS(uint16_t)
POLYPHONY_MAP_KERNELS(float)
#undef POLYPHONY_MAP_KERNELS

}  // namespace

const MapKernels kPlainMap = {
    .fill_bf16 = fill_uint16_t, .fill_f32 = fill_float, .finish_bf16 = finish_uint16_t, .finish_f32 = finish_float};

const MapKernels& map_kernels_of(CpuLevel level) {
  kernels_of(level);
#if defined(__x86_64__)
  if (level >= CpuLevel::avx512_bf16) return kAvx512Map;
#endif
  return kPlainMap;
}

}  // namespace polyphony::ops
