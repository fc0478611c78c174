// SPDX-License-Identifier: Apache-2.0
#include "core/ops/modulate_rows/modulate_rows.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/ops/dispatch_plan/saved_plan.h"
#include "core/ops/parallel.h"
#include "core/ops/row_math.h"

namespace polyphony::ops {
namespace {

// Columns of one task of a backward pass: every task goes through all tokens in order, so that the sums of a table's
// gradient do not depend on the number of threads.
constexpr int64_t kColumns = 64;

template <class T>
struct Table {
  const T* data;
  int64_t stride;
  explicit Table(const at::Tensor& rows_CD) : data(rows_CD.const_data_ptr<T>()), stride(rows_CD.stride(0)) {}
  const T* row(int64_t c) const { return data + c * stride; }
};

template <class Task>
void for_each_column_block(int64_t D, const Task& task) {
  for_each_task((D + kColumns - 1) / kColumns,
                [&](int64_t block) { task(block * kColumns, std::min(D, (block + 1) * kColumns)); });
}

template <class T>
void modulate_cpu(const at::Tensor& x_TD, const at::Tensor& shift_CD, const at::Tensor& scale_CD,
                  const at::Tensor& condition_T, const at::Tensor& out_TD) {
  const int64_t D = x_TD.size(1);
  const T* x = x_TD.const_data_ptr<T>();
  const Table<T> shift(shift_CD), scale(scale_CD);
  const auto* condition = condition_T.const_data_ptr<int64_t>();
  T* out = out_TD.mutable_data_ptr<T>();
  at::parallel_for(0, x_TD.size(0), kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const T* from = x + t * D;
      T* to = out + t * D;
      const int64_t c = condition[t] - 1;
      if (c < 0) {
        std::copy(from, from + D, to);
        continue;
      }
      const T* a = scale.row(c);
      const T* b = shift.row(c);
#pragma omp simd
      for (int64_t d = 0; d < D; ++d) store(to + d, load(from[d]) * (1 + load(a[d])) + load(b[d]));
    }
  });
}

template <class T>
void modulate_backward_cpu(const at::Tensor& x_TD, const at::Tensor& scale_CD, const at::Tensor& condition_T,
                           const at::Tensor& dout_TD, const at::Tensor& dx_TD, const at::Tensor& dshift_CD,
                           const at::Tensor& dscale_CD) {
  const int64_t num_tokens = x_TD.size(0), D = x_TD.size(1);
  const T* x = x_TD.const_data_ptr<T>();
  const T* dout = dout_TD.const_data_ptr<T>();
  const Table<T> scale(scale_CD);
  const auto* condition = condition_T.const_data_ptr<int64_t>();
  T* dx = dx_TD.mutable_data_ptr<T>();
  auto* dshift = dshift_CD.mutable_data_ptr<Compute<T>>();
  auto* dscale = dscale_CD.mutable_data_ptr<Compute<T>>();
  for_each_column_block(D, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < num_tokens; ++t) {
      const T* g = dout + t * D;
      const int64_t c = condition[t] - 1;
      if (c < 0) {
        std::copy(g + begin, g + end, dx + t * D + begin);
        continue;
      }
      const T* a = scale.row(c);
#pragma omp simd
      for (int64_t d = begin; d < end; ++d) {
        const Compute<T> gd = load(g[d]);
        dshift[c * D + d] += gd;
        dscale[c * D + d] += gd * load(x[t * D + d]);
        store(dx + t * D + d, gd * (1 + load(a[d])));
      }
    }
  });
}

template <class T>
void gated_sum_cpu(const at::Tensor& x_TD, const at::Tensor& y_TD, const at::Tensor& gate_CD,
                   const at::Tensor& condition_T, const at::Tensor& out_TD) {
  const int64_t D = x_TD.size(1);
  const T* x = x_TD.const_data_ptr<T>();
  const T* y = y_TD.const_data_ptr<T>();
  const Table<T> gate(gate_CD);
  const auto* condition = condition_T.const_data_ptr<int64_t>();
  T* out = out_TD.mutable_data_ptr<T>();
  at::parallel_for(0, x_TD.size(0), kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const T* a = x + t * D;
      const T* b = y + t * D;
      T* to = out + t * D;
      const int64_t c = condition[t] - 1;
      if (c < 0) {
#pragma omp simd
        for (int64_t d = 0; d < D; ++d) store(to + d, load(a[d]) + load(b[d]));
        continue;
      }
      const T* g = gate.row(c);
#pragma omp simd
      for (int64_t d = 0; d < D; ++d) store(to + d, load(a[d]) + load(g[d]) * load(b[d]));
    }
  });
}

template <class T>
void gated_sum_backward_cpu(const at::Tensor& y_TD, const at::Tensor& gate_CD, const at::Tensor& condition_T,
                            const at::Tensor& dout_TD, const at::Tensor& dy_TD, const at::Tensor& dgate_CD) {
  const int64_t num_tokens = y_TD.size(0), D = y_TD.size(1);
  const T* y = y_TD.const_data_ptr<T>();
  const T* dout = dout_TD.const_data_ptr<T>();
  const Table<T> gate(gate_CD);
  const auto* condition = condition_T.const_data_ptr<int64_t>();
  T* dy = dy_TD.mutable_data_ptr<T>();
  auto* dgate = dgate_CD.mutable_data_ptr<Compute<T>>();
  for_each_column_block(D, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < num_tokens; ++t) {
      const T* g = dout + t * D;
      const int64_t c = condition[t] - 1;
      if (c < 0) {
        std::copy(g + begin, g + end, dy + t * D + begin);
        continue;
      }
      const T* a = gate.row(c);
#pragma omp simd
      for (int64_t d = begin; d < end; ++d) {
        const Compute<T> gd = load(g[d]);
        dgate[c * D + d] += gd * load(y[t * D + d]);
        store(dy + t * D + d, gd * load(a[d]));
      }
    }
  });
}

at::Tensor zero_gradient(const at::Tensor& rows_CD) {
  const auto wide = rows_CD.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::zeros(rows_CD.sizes(), rows_CD.options().dtype(wide));
}

struct ModulateRows : torch::autograd::Function<ModulateRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_TD, const at::Tensor& shift_CD,
                            const at::Tensor& scale_CD, const at::Tensor& condition_T) {
    const KernelsOnly guard;
    at::Tensor out_TD = at::empty_like(x_TD);
    AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x_TD.scalar_type(), "modulate_rows",
                                   [&] { modulate_cpu<scalar_t>(x_TD, shift_CD, scale_CD, condition_T, out_TD); });
    ctx->save_for_backward({x_TD, scale_CD, condition_T});
    return out_TD;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("modulate_rows");
    const KernelsOnly guard;
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dout_TD = gradients[0].contiguous();
    at::Tensor dx_TD = at::empty_like(dout_TD), dshift_CD = zero_gradient(saved[1]),
               dscale_CD = zero_gradient(saved[1]);
    AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, dout_TD.scalar_type(), "modulate_rows_backward", [&] {
      modulate_backward_cpu<scalar_t>(saved[0], saved[1], saved[2], dout_TD, dx_TD, dshift_CD, dscale_CD);
    });
    const auto dtype = saved[1].scalar_type();
    return {dx_TD, dshift_CD.to(dtype), dscale_CD.to(dtype), {}};
  }
};

struct GatedSumRows : torch::autograd::Function<GatedSumRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_TD, const at::Tensor& y_TD,
                            const at::Tensor& gate_CD, const at::Tensor& condition_T) {
    const KernelsOnly guard;
    at::Tensor out_TD = at::empty_like(x_TD);
    AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x_TD.scalar_type(), "gated_sum_rows",
                                   [&] { gated_sum_cpu<scalar_t>(x_TD, y_TD, gate_CD, condition_T, out_TD); });
    ctx->save_for_backward({y_TD, gate_CD, condition_T});
    return out_TD;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("gated_sum_rows");
    const KernelsOnly guard;
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dout_TD = gradients[0].contiguous();
    at::Tensor dy_TD = at::empty_like(dout_TD), dgate_CD = zero_gradient(saved[1]);
    AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, dout_TD.scalar_type(), "gated_sum_rows_backward", [&] {
      gated_sum_backward_cpu<scalar_t>(saved[0], saved[1], saved[2], dout_TD, dy_TD, dgate_CD);
    });
    return {dout_TD, dy_TD, dgate_CD.to(saved[1].scalar_type()), {}};
  }
};

// A table in x's dtype whose rows have neighbouring columns.
at::Tensor as_table(const at::Tensor& rows_CD, const at::Tensor& x_TD) {
  const auto rows = rows_CD.to(x_TD.scalar_type());
  return rows.stride(1) == 1 ? rows : rows.contiguous();
}

void check_rows(const char* where, const at::Tensor& x_TD, const at::Tensor& rows_CD, const at::Tensor& condition_T) {
  check<ShapeError>(x_TD.dim() == 2, where, " x must be (T, D), got ", x_TD.sizes());
  check<ShapeError>(rows_CD.dim() == 2 && rows_CD.size(1) == x_TD.size(1), where, " a table must be (C, ", x_TD.size(1),
                    "), got ", rows_CD.sizes());
  check<ShapeError>(
      condition_T.dim() == 1 && condition_T.size(0) == x_TD.size(0) && condition_T.scalar_type() == at::kLong, where,
      " condition must be i64 (", x_TD.size(0), ")");
  if (condition_T.is_cpu() && condition_T.numel() > 0) {
    const auto [least, most] = condition_T.aminmax();
    check<ShapeError>(least.item<int64_t>() >= 0 && most.item<int64_t>() <= rows_CD.size(0), where,
                      " condition must be in [0, ", rows_CD.size(0), "]");
  }
}

bool has_kernel(const at::Tensor& x_TD) {
  const auto dtype = x_TD.scalar_type();
  return x_TD.is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble);
}

}  // namespace

at::Tensor modulate_rows(const at::Tensor& x_TD, const at::Tensor& shift_CD, const at::Tensor& scale_CD,
                         const at::Tensor& condition_T) {
  check_rows("[modulate_rows]", x_TD, shift_CD, condition_T);
  check_rows("[modulate_rows]", x_TD, scale_CD, condition_T);
  check<ShapeError>(shift_CD.sizes() == scale_CD.sizes(), "[modulate_rows] both tables must have one shape");
  if (!has_kernel(x_TD)) return modulate_rows_reference(x_TD, shift_CD, scale_CD, condition_T);
  return ModulateRows::apply(x_TD.contiguous(), as_table(shift_CD, x_TD), as_table(scale_CD, x_TD),
                             condition_T.contiguous());
}

at::Tensor gated_sum_rows(const at::Tensor& x_TD, const at::Tensor& y_TD, const at::Tensor& gate_CD,
                          const at::Tensor& condition_T) {
  check_rows("[gated_sum_rows]", x_TD, gate_CD, condition_T);
  check<ShapeError>(x_TD.sizes() == y_TD.sizes(), "[gated_sum_rows] y must be ", x_TD.sizes(), ", got ", y_TD.sizes());
  if (!has_kernel(x_TD)) return gated_sum_rows_reference(x_TD, y_TD, gate_CD, condition_T);
  return GatedSumRows::apply(x_TD.contiguous(), y_TD.to(x_TD.scalar_type()).contiguous(), as_table(gate_CD, x_TD),
                             condition_T.contiguous());
}

}  // namespace polyphony::ops
