// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/packed_product/packed_product.h"
#include "core/ops/packed_product/packed_rows.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {
namespace {

// A task takes a block of rows and a range of pairs that is long enough to stream, and short enough for all threads to
// have work.
int64_t pairs_of_task(int64_t pairs) { return std::clamp<int64_t>(tiles_of(pairs, 16), 2, 32); }

void product(const at::Tensor& y_RN, const at::Tensor& x_RK, const PackedMatrices& w, CpuLevel cpu) {
  const PackedLevel level(w.format, cpu);
  const int64_t R = x_RK.size(0), K = w.depth;
  const int64_t blocks = tiles_of(R, kPackedRows);
  const int64_t words = packed_row_words(std::min(R, kPackedRows), K);
  const at::Tensor memory = at::empty({blocks, words}, at::kShort);
  const auto rows_of = [&](int64_t block) {
    const int64_t count = std::min(kPackedRows, R - block * kPackedRows);
    return PackedRows{.count = count,
                      .depth = K,
                      .few = level.few(count),
                      .data = memory.mutable_data_ptr<int16_t>() + block * words};
  };
  for_each_task(blocks, [&](int64_t b) { pack_rows(level, x_RK, nullptr, b * kPackedRows, rows_of(b)); });
  const int64_t pairs = w.pairs(), width = pairs_of_task(pairs), ranges = tiles_of(pairs, width);
  for_each_task(blocks * ranges, [&](int64_t i) {
    const PackedRows rows = rows_of(i % blocks);
    const int64_t first = i / blocks * width;
    const PairRange range{.matrix = 0, .first = first, .last = std::min(pairs, first + width)};
    multiply_packed(level, rows, w, range,
                    [&](const PairSums& sums) { store_pair(level, sums, y_RN, i % blocks * kPackedRows, rows.count); });
  });
}

}  // namespace

at::Tensor packed_linear(const at::Tensor& x, const PackedMatrices& w, const at::Tensor& bias_N, CpuLevel level) {
  constexpr auto where = "[packed_linear] ";
  check<ShapeError>(w.count == 1 && !w.gated, where, "expected one matrix without gates, got ", w.count);
  check<ShapeError>(x.defined() && x.dim() >= 1 && x.size(-1) == w.depth && x.is_cpu() &&
                        (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
                    where, "x must be (..., ", w.depth, ") in f32 or bf16 on the CPU, got ",
                    x.defined() ? x.sizes() : at::IntArrayRef{});
  check<ShapeError>(!bias_N.defined() || (bias_N.dim() == 1 && bias_N.size(0) == w.rows), where, "bias must be (",
                    w.rows, ")");
  const KernelsOnly guard;
  auto sizes = x.sizes().vec();
  sizes.back() = w.rows;
  const int64_t rows = c10::multiply_integers(x.sizes().begin(), x.sizes().end() - 1);
  at::Tensor y_RN = at::empty({rows, w.rows}, x.options().requires_grad(false));
  if (y_RN.numel() > 0) product(y_RN, x.reshape({rows, w.depth}).contiguous(), w, level);
  if (bias_N.defined()) y_RN.add_(bias_N);
  return y_RN.view(sizes);
}

}  // namespace polyphony::ops
