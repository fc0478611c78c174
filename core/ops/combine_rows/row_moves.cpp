// SPDX-License-Identifier: Apache-2.0
#include "core/ops/combine_rows/row_moves.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <cstring>

#include "core/ops/combine_rows/combine_rows_sum.h"
#include "core/ops/combine_rows/row_moves_cuda.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {
namespace {

void gather_rows_cpu(const at::Tensor& x_TD, const at::Tensor& token_R, const at::Tensor& out_RD) {
  const auto row_bytes = static_cast<size_t>(x_TD.size(1)) * x_TD.element_size();
  const auto* x = static_cast<const char*>(x_TD.const_data_ptr());
  auto* out = static_cast<char*>(out_RD.mutable_data_ptr());
  const int64_t* token = token_R.const_data_ptr<int64_t>();
  at::parallel_for(0, token_R.size(0), kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r)
      std::memcpy(out + static_cast<size_t>(r) * row_bytes, x + static_cast<size_t>(token[r]) * row_bytes, row_bytes);
  });
}

template <class T>
void sum_rows_cpu(const at::Tensor& y_RD, const at::Tensor& weight_R, const DispatchPlan& plan,
                  const at::Tensor& extra_TD, const at::Tensor& out_TD) {
  const int64_t D = y_RD.size(1);
  const T* y = y_RD.const_data_ptr<T>();
  const auto* weight = weight_R.defined() ? weight_R.const_data_ptr<Compute<T>>() : nullptr;
  const T* extra = extra_TD.defined() ? extra_TD.const_data_ptr<T>() : nullptr;
  const int64_t* slot = plan.slot_R.const_data_ptr<int64_t>();
  const int64_t* begin = plan.token_offset_T1.const_data_ptr<int64_t>();
  T* out = out_TD.mutable_data_ptr<T>();
  at::parallel_for(0, plan.num_tokens, kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t)
      sum_rows<T>({.y = y,
                   .slot = slot + begin[t],
                   .count = begin[t + 1] - begin[t],
                   .weight = weight,
                   .extra = extra ? extra + t * D : nullptr,
                   .D = D},
                  out + t * D);
  });
}

}  // namespace

at::Tensor gather_rows(const at::Tensor& x_TD, const DispatchPlan& plan) {
  if (!x_TD.is_cpu()) return gather_rows_cuda(x_TD, plan);
  at::Tensor out_RD = at::empty({plan.num_rows(), x_TD.size(1)}, x_TD.options());
  gather_rows_cpu(x_TD, plan.token_R, out_RD);
  return out_RD;
}

at::Tensor sum_rows_of_tokens(const at::Tensor& y_RD, const at::Tensor& weight_R, const DispatchPlan& plan,
                              const at::Tensor& extra_TD) {
  if (!y_RD.is_cpu()) return sum_rows_of_tokens_cuda(y_RD, weight_R, plan, extra_TD);
  at::Tensor out_TD = at::empty({plan.num_tokens, y_RD.size(1)}, y_RD.options());
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, y_RD.scalar_type(), "combine_rows",
                                 [&] { sum_rows_cpu<scalar_t>(y_RD, weight_R, plan, extra_TD, out_TD); });
  return out_TD;
}

}  // namespace polyphony::ops
