// SPDX-License-Identifier: Apache-2.0
#include "core/nn/sin_cos_positions.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::nn {
namespace {

// (N) -> (N, 2 * K): [sin | cos] of N positions at K frequencies.
at::Tensor sin_cos(const at::Tensor& position_N, const at::Tensor& frequency_K) {
  const at::Tensor angle_NK = position_N.unsqueeze(1) * frequency_K.unsqueeze(0);
  return at::cat({angle_NK.sin(), angle_NK.cos()}, 1);
}

}  // namespace

at::Tensor sin_cos_positions(int64_t rows, int64_t columns, int64_t dim) {
  check<ShapeError>(rows >= 1 && columns >= 1 && dim >= 4 && dim % 4 == 0,
                    "[sin_cos_positions] expected a grid of at least 1 x 1 and a dim that is a multiple of 4, got ",
                    rows, " x ", columns, " and ", dim);
  const int64_t K = dim / 4;
  const at::Tensor frequency_K = at::pow(10000.0, at::arange(K, at::kDouble) / -static_cast<double>(K));
  const at::Tensor column_T = at::arange(columns, at::kDouble).repeat({rows});
  const at::Tensor row_T = at::arange(rows, at::kDouble).repeat_interleave(columns);
  return at::cat({sin_cos(column_T, frequency_K), sin_cos(row_T, frequency_K)}, 1).to(at::kFloat);
}

}  // namespace polyphony::nn
