// SPDX-License-Identifier: Apache-2.0
// The largest values of each row, by index: what routers choose by.
// Shapes: T rows, E columns, K chosen.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

// i64 (T, K): where the K largest values of each row of values_TE are, falling; ties go to the lowest index, NaN comes
// before all. No gradient. K in [0, E]. One pass over f32 and f64 on the CPU for small K; else the reference. Throws
// ShapeError.
at::Tensor top_indices(const at::Tensor& values_TE, int64_t K);

// The first K columns of a stable sort.
at::Tensor top_indices_reference(const at::Tensor& values_TE, int64_t K);

}  // namespace polyphony::ops
