// SPDX-License-Identifier: Apache-2.0
// The same with 512-bit vectors: a position's block of channels is two of them, or one of bf16.
#include <immintrin.h>

#include "core/ops/conv_map/map_rows.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kHalf = kChannels / 2;

struct Values {
  __m512 low, high;
};

__mmask32 first_channels(int64_t count) {
  return static_cast<__mmask32>(count >= kChannels ? 0xFFFFFFFF : (1u << count) - 1);
}

Values load(const float* x, __mmask32 there) {
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>(there), x),
          _mm512_maskz_loadu_ps(static_cast<__mmask16>(there >> kHalf), x + kHalf)};
}
Values load(const uint16_t* x, __mmask32 there) {
  const __m512i words = _mm512_maskz_loadu_epi16(there, x);
  const auto widened = [](__m256i half) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  };
  return {widened(_mm512_castsi512_si256(words)), widened(_mm512_extracti64x4_epi64(words, 1))};
}

void store(float* out, const Values& v, __mmask32 there) {
  _mm512_mask_storeu_ps(out, static_cast<__mmask16>(there), v.low);
  _mm512_mask_storeu_ps(out + kHalf, static_cast<__mmask16>(there >> kHalf), v.high);
}
void store(uint16_t* out, const Values& v, __mmask32 there) {
  _mm512_mask_storeu_epi16(out, there, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(v.high, v.low)));
}

// x / (1 + exp(-x)) within 2^-18, far below the rounding to bf16 that follows.
__m512 silu(__m512 x) {
  // exp(-x) = 2^y, which stays finite.
  const __m512 y = _mm512_min_ps(_mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f)), _mm512_set1_ps(126.0f));
  const __m512 n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(y, n);
  constexpr float kTaylor[] = {9.6181291e-3f, 5.5504109e-2f, 0.24022651f, 0.69314718f, 1.0f};  // 2^r on [-1/2, 1/2]
  __m512 p = _mm512_set1_ps(1.3333558e-3f);
  for (const float c : kTaylor) p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  const __m512 divisor = _mm512_add_ps(_mm512_scalef_ps(p, n), _mm512_set1_ps(1.0f));
  const __m512 guess = _mm512_rcp14_ps(divisor);
  const __m512 inverse = _mm512_mul_ps(guess, _mm512_fnmadd_ps(divisor, guess, _mm512_set1_ps(2.0f)));
  return _mm512_mul_ps(x, inverse);
}

template <class In>
void fill(const RowIn<In>& in, uint16_t* out) {
  const __mmask32 there = first_channels(in.channels);
  const Values none{_mm512_setzero_ps(), _mm512_setzero_ps()};
  const Values scale = in.scale ? load(in.scale, 0xFFFFFFFF) : none;
  const Values shift = in.scale ? load(in.shift, 0xFFFFFFFF) : none;
  for (int64_t p = 0; p < in.positions; ++p, out += kChannels) {
    Values v = load(in.x + (in.doubled ? (in.first + p) / 2 : in.first + p) * in.stride, there);
    if (in.scale) v = {_mm512_fmadd_ps(v.low, scale.low, shift.low), _mm512_fmadd_ps(v.high, scale.high, shift.high)};
    if (in.scale && in.silu) v = {silu(v.low), silu(v.high)};
    store(out, v, 0xFFFFFFFF);
  }
}

template <class Out>
void finish(const RowsOut<Out>& rows) {
  const __mmask32 there = first_channels(rows.channels);
  const Values bias = load(rows.bias, 0xFFFFFFFF);
  Values total = load(rows.total, 0xFFFFFFFF), squares = load(rows.squares, 0xFFFFFFFF);
  for (int64_t p = 0; p < rows.positions; ++p) {
    const float* low = rows.sum + p * kHalf;
    Values v = {_mm512_add_ps(_mm512_loadu_ps(low), bias.low),
                _mm512_add_ps(_mm512_loadu_ps(low + kHalf * kHalf), bias.high)};
    if (rows.residual) {
      const Values residual = load(rows.residual + p * rows.stride, there);
      v = {_mm512_add_ps(v.low, residual.low), _mm512_add_ps(v.high, residual.high)};
    }
    total = {_mm512_add_ps(total.low, v.low), _mm512_add_ps(total.high, v.high)};
    squares = {_mm512_fmadd_ps(v.low, v.low, squares.low), _mm512_fmadd_ps(v.high, v.high, squares.high)};
    store(rows.out + p * rows.stride, v, there);
  }
  store(rows.total, total, 0xFFFFFFFF);
  store(rows.squares, squares, 0xFFFFFFFF);
}

}  // namespace

const MapKernels kAvx512Map = {
    .fill_bf16 = fill<uint16_t>, .fill_f32 = fill<float>, .finish_bf16 = finish<uint16_t>, .finish_f32 = finish<float>};

}  // namespace polyphony::ops
