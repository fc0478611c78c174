// SPDX-License-Identifier: Apache-2.0
#include "core/ops/ada_norm/ada_norm.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/ada_norm/ada_norm_rows.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {
namespace {

constexpr auto kWhere = "[ada_norm] ";

template <class Update, class Out>
void run(const AdaNormInput& in, const at::Tensor& out_TD) {
  const int64_t T = in.x_TD.size(0), D = in.x_TD.size(1), B = in.shift_BD.size(0);
  float* x = in.x_TD.mutable_data_ptr<float>();
  const Update* update = in.update_TD.defined() ? in.update_TD.const_data_ptr<Update>() : nullptr;
  Out* out = out_TD.mutable_data_ptr<Out>();
  const auto row_of = [](const at::Tensor& rows_BD, int64_t b) -> const float* {
    return rows_BD.defined() ? rows_BD.const_data_ptr<float>() + b * rows_BD.stride(0) : nullptr;
  };
  at::parallel_for(0, T, kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const int64_t b = t / (T / B);
      ada_norm_row(AdaNormRow<Update, Out>{.x = x + t * D,
                                           .update = update ? update + t * D : nullptr,
                                           .gate = row_of(in.gate_BD, b),
                                           .shift = row_of(in.shift_BD, b),
                                           .scale = row_of(in.scale_BD, b),
                                           .eps = in.eps,
                                           .D = D,
                                           .out = out + t * D});
    }
  });
}

void check_input(const AdaNormInput& in, at::ScalarType dtype) {
  const auto& x = in.x_TD;
  check<ShapeError>(x.defined() && x.dim() == 2 && x.scalar_type() == at::kFloat && x.is_cpu() && x.is_contiguous(),
                    kWhere, "x must be contiguous f32 (T, D) on the CPU, got ",
                    x.defined() ? join(x.scalar_type(), " ", x.sizes()) : "none");
  const auto is_table = [&](const at::Tensor& rows) {
    return rows.defined() && rows.dim() == 2 && rows.size(1) == x.size(1) && rows.scalar_type() == at::kFloat &&
           (rows.stride(1) == 1 || rows.size(1) == 1) && rows.size(0) == in.shift_BD.size(0);
  };
  check<ShapeError>(in.shift_BD.defined() && is_table(in.shift_BD) && is_table(in.scale_BD), kWhere,
                    "shift and scale must be f32 (B, ", x.size(1), ")");
  const int64_t B = in.shift_BD.size(0), T = x.size(0);
  check<ShapeError>(T == 0 || (B > 0 && T % B == 0), kWhere, T, " tokens are no whole number for each of ", B,
                    " samples");
  check<ShapeError>(in.update_TD.defined() == in.gate_BD.defined(), kWhere, "an update and its gate go together");
  check<ShapeError>(!in.update_TD.defined() ||
                        (is_table(in.gate_BD) && in.update_TD.sizes() == x.sizes() && in.update_TD.is_contiguous() &&
                         (in.update_TD.scalar_type() == at::kFloat || in.update_TD.scalar_type() == at::kBFloat16)),
                    kWhere, "an update must be contiguous f32 or bf16 ", x.sizes(), " and its gate f32 (", B, ", ",
                    x.size(1), ")");
  check<ShapeError>(dtype == at::kFloat || dtype == at::kBFloat16, kWhere, "expected f32 or bf16, got ", dtype);
}

}  // namespace

at::Tensor ada_norm_(const AdaNormInput& in, at::ScalarType dtype) {
  check_input(in, dtype);
  at::Tensor out_TD = at::empty(in.x_TD.sizes(), in.x_TD.options().dtype(dtype));
  const bool low_update = in.update_TD.defined() && in.update_TD.scalar_type() == at::kBFloat16;
  if (dtype == at::kFloat) {
    low_update ? run<c10::BFloat16, float>(in, out_TD) : run<float, float>(in, out_TD);
  } else {
    low_update ? run<c10::BFloat16, c10::BFloat16>(in, out_TD) : run<float, c10::BFloat16>(in, out_TD);
  }
  return out_TD;
}

}  // namespace polyphony::ops
