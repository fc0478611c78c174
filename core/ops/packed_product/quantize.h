// SPDX-License-Identifier: Apache-2.0
// Weights in 8 or 4 bits: whole numbers with a scale for each group along the depth of each row.
// Shapes: E matrices of N rows and K values (the depth of y = x W^T), G = ceil(K / group).
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace polyphony::ops {

enum class WeightFormat { bf16, int8, int4 };

std::string_view to_string(WeightFormat format);
std::optional<WeightFormat> weight_format(std::string_view name);  // of to_string's names

// A value is number * scale. int8: numbers in [-127, 127], i8 (E, N, K). int4: numbers in [-8, 7], two a byte (the
// first of a pair in the low four bits, each 8 more than its number), u8 (E, N, ceil(K / 2)).
struct QuantizedMatrices {
  WeightFormat format = WeightFormat::int8;
  int64_t group = 32;
  int64_t depth = 0;      // K
  at::Tensor values;      // as above
  at::Tensor scales_ENG;  // bf16
};

// w: (N, K) or (E, N, K), bf16 or f32, on the CPU, finite. Each group's scale is that of a few candidates around the
// one that its largest value asks for whose rounded values lie nearest, counted in squares. `group` is a multiple of
// 32, or 0 for one group a row (per channel). Throws ShapeError on other shapes, groups, formats (bf16) or values.
QuantizedMatrices quantize_matrices(const at::Tensor& w, WeightFormat format, int64_t group = 32);

// f32 (E, N, K): the weights that products with `q` see, up to their rounding to bf16.
at::Tensor dequantize_matrices(const QuantizedMatrices& q);

}  // namespace polyphony::ops
