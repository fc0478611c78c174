// SPDX-License-Identifier: Apache-2.0
// What an instruction level does with quantised steps of a pair of strips (packed_matrices.h).
#pragma once
#include <cstdint>

namespace polyphony {
enum class CpuLevel;
}

namespace polyphony::ops {

inline constexpr int64_t kStepDepth = 32;
inline constexpr int64_t kScaleBytes = 64;  // 2 x 16 bf16 scales, in front of the numbers
inline constexpr int64_t kFewRows = 4;

// `steps` of a stream, each kScaleBytes and two tiles of numbers, values (depth 32) x (columns 16). int8: i8, a row of
// columns for each place of the depth. int4: bytes, row k holds places k (low bits) and k + 16, 8 more than the number.
struct QuantizedKernels {
  // To bf16 tiles, both of a step together: number * scale.
  void (*expand)(const uint8_t* steps, int64_t count, uint16_t* tiles);
  // sum[0 and 1] (sum tiles of the two strips, rows [0, rows) of them) = x W^T for up to kFewRows rows x of f32, the
  // rows `stride` apart and whole to the end of the last step. Null where the level has no such kernel.
  void (*few_rows)(const float* x, int64_t rows, int64_t stride, const uint8_t* steps, int64_t count, float* sum);
};

struct PackedKernels {
  QuantizedKernels int8;
  QuantizedKernels int4;
};

extern const PackedKernels kPlainPacked;
#if defined(__x86_64__)
extern const PackedKernels kAvx512Packed;
#endif

}  // namespace polyphony::ops
