// SPDX-License-Identifier: Apache-2.0
// What is done to the values of a map on their way into and out of a convolution's tiles.
#pragma once
#include <cstdint>

namespace polyphony {
enum class CpuLevel;
}

namespace polyphony::ops {

// Values are float or uint16_t, the bits of a bf16.

inline constexpr int64_t kChannels = 32;  // of a block

inline constexpr int64_t kPositions = 8;  // at once, so that memory is read in the order in which it lies

// Up to kPositions positions of a block of channels. scale and shift hold the block's values kPositions times, zeros
// beyond `channels`; both null: values as they are.
template <class In>
struct RowIn {
  const In* x;       // first of `channels` neighbouring channels of a row's position 0
  int64_t channels;  // at most kChannels
  int64_t stride;    // from a position to the next
  int64_t first;     // of the positions wanted; position p is the row's p, or p / 2 where doubled
  int64_t positions;
  bool doubled;
  const float* scale;
  const float* shift;
  bool silu;
};

// Sums of up to 16 positions and 2 * 16 channels, with their bias, and where they go.
template <class Out>
struct RowsOut {
  const float* sum;     // two tiles of 16 x 16, channels 0 to 15 and 16 to 31
  const float* bias;    // kChannels
  const Out* residual;  // at the place of `out`, null: none
  Out* out;
  int64_t positions;
  int64_t channels;
  int64_t stride;  // from a position to the next, of out and residual
  float* total;    // kChannels sums of what was written, before rounding, added to
  float* squares;  // and of their squares
};

struct MapKernels {
  // x * scale + shift of each position, or SiLU of it, kChannels words each, zeros beyond `channels`.
  void (*fill_bf16)(const RowIn<uint16_t>& in, uint16_t* out);
  void (*fill_f32)(const RowIn<float>& in, uint16_t* out);
  void (*finish_bf16)(const RowsOut<uint16_t>& rows);
  void (*finish_f32)(const RowsOut<float>& rows);
};

extern const MapKernels kPlainMap;
#if defined(__x86_64__)
extern const MapKernels kAvx512Map;
#endif

// Throws ShapeError where this machine lacks the level.
const MapKernels& map_kernels_of(CpuLevel level);

}  // namespace polyphony::ops
