// SPDX-License-Identifier: Apache-2.0
#include "core/ops/quantized_matvec/quantized_matvec_cuda.h"

#include <ATen/ATen.h>

#include "core/ops/cuda_types.h"
#include "core/ops/quantized_matvec/quantized_matvec_kernels.h"

namespace polyphony::ops {

at::Tensor quantized_matvec_cuda(const at::Tensor& x_TK, const QuantizedMatrices& w, const at::Tensor& token_R,
                                 const at::Tensor& expert_R) {
  const int64_t R = token_R.defined() ? token_R.size(0) : x_TK.size(0);
  const int64_t N = w.values.size(1);
  const at::Tensor y_RN = at::empty({R, N}, x_TK.options());
  with_cuda_type(x_TK, [&](auto zero) {
    using T = decltype(zero);
    launch(QuantizedMatvec<T>{.x_TK = x_TK.const_data_ptr<T>(),
                              .values_ENB = static_cast<const uint8_t*>(w.values.const_data_ptr()),
                              .scales_ENG = w.scales_ENG.const_data_ptr<c10::BFloat16>(),
                              .token_R = token_R.defined() ? token_R.const_data_ptr<int64_t>() : nullptr,
                              .expert_R = expert_R.defined() ? expert_R.const_data_ptr<int64_t>() : nullptr,
                              .y_RN = y_RN.mutable_data_ptr<T>(),
                              .num_rows = R,
                              .N = N,
                              .K = w.depth,
                              .group = w.group == 0 ? w.depth : w.group,
                              .bits = w.format == WeightFormat::int8 ? 8 : 4});
  });
  return y_RN;
}

}  // namespace polyphony::ops
