// SPDX-License-Identifier: Apache-2.0
#include "moe/transforms/equivalent_split.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::moe {
namespace {

// (n O, I) -> (n, O, I), and (O, n I) -> (n, O, I).
at::Tensor split_rows(const at::Tensor& w_OI, int64_t n) {
  return w_OI.detach().reshape({n, w_OI.size(0) / n, w_OI.size(1)}).clone();
}
at::Tensor split_columns(const at::Tensor& w_OI, int64_t n) {
  return w_OI.detach()
      .reshape({w_OI.size(0), n, w_OI.size(1) / n})
      .permute({1, 0, 2})
      .clone(at::MemoryFormat::Contiguous);
}
at::Tensor merge_rows(const at::Tensor& w_EOI) { return w_EOI.detach().flatten(0, 1).clone(); }
at::Tensor merge_columns(const at::Tensor& w_EOI) {
  return w_EOI.detach().permute({1, 0, 2}).clone(at::MemoryFormat::Contiguous).flatten(1, 2);
}

void check_divides(int64_t n, int64_t size, const char* what) {
  check<ConfigError>(n >= 1 && size % n == 0, "[equivalent_split] the number of experts must divide ", what, " ", size,
                     ", got ", n);
}

}  // namespace

MlpSlices split_mlp(const ops::SharedExpert& dense, int64_t n) {
  check_divides(n, dense.w2_DF.size(1), "the hidden width");
  const auto parts = dense.w13_2FD.chunk(2, 0);
  return {.w13_E2FD = at::cat({split_rows(parts[0], n), split_rows(parts[1], n)}, 1),
          .w2_EDF = split_columns(dense.w2_DF, n)};
}

ops::SharedExpert merge_mlp(const MlpSlices& slices) {
  const auto parts = slices.w13_E2FD.chunk(2, 1);
  return {.w13_2FD = at::cat({merge_rows(parts[0]), merge_rows(parts[1])}), .w2_DF = merge_columns(slices.w2_EDF)};
}

AttentionSlices split_attention(const DenseAttention& dense, int64_t num_heads, int64_t n) {
  check_divides(n, num_heads, "the number of heads");
  check<ConfigError>(dense.qkv_QD.size(0) == 3 * dense.out_DP.size(1),
                     "[equivalent_split] attention must have as many key heads as query heads");
  const auto parts = dense.qkv_QD.chunk(3, 0);
  return {.q_EPD = split_rows(parts[0], n),
          .k_EPD = split_rows(parts[1], n),
          .v_EPD = split_rows(parts[2], n),
          .out_EDP = split_columns(dense.out_DP, n)};
}

DenseAttention merge_attention(const AttentionSlices& slices) {
  return {.qkv_QD = at::cat({merge_rows(slices.q_EPD), merge_rows(slices.k_EPD), merge_rows(slices.v_EPD)}),
          .out_DP = merge_columns(slices.out_EDP)};
}

}  // namespace polyphony::moe
