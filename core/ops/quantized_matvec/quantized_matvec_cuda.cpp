// SPDX-License-Identifier: Apache-2.0
#include "core/ops/quantized_matvec/quantized_matvec_cuda.h"

#include <ATen/ATen.h>

#include "core/ops/cuda_types.h"
#include "core/ops/quantized_matvec/quantized_matvec_kernels.h"

namespace polyphony::ops {

at::Tensor quantized_matvec_cuda(const at::Tensor& x_TI, const QuantizedBank& bank, const at::Tensor& token_R,
                                 const at::Tensor& expert_R) {
  const int64_t R = token_R.defined() ? token_R.size(0) : x_TI.size(0);
  const int64_t O = bank.q_EOB.size(1);
  const at::Tensor y_RO = at::empty({R, O}, x_TI.options());
  with_cuda_type(x_TI, [&](auto zero) {
    using T = decltype(zero);
    launch(QuantizedMatvec<T>{.x_TI = x_TI.const_data_ptr<T>(),
                              .q_EOB = bank.q_EOB.const_data_ptr<uint8_t>(),
                              .scale_EOG = bank.scale_EOG.const_data_ptr<float>(),
                              .token_R = token_R.defined() ? token_R.const_data_ptr<int64_t>() : nullptr,
                              .expert_R = expert_R.defined() ? expert_R.const_data_ptr<int64_t>() : nullptr,
                              .y_RO = y_RO.mutable_data_ptr<T>(),
                              .num_rows = R,
                              .O = O,
                              .I = bank.inputs(),
                              .group = bank.group(),
                              .bits = bank.bits});
  });
  return y_RO;
}

}  // namespace polyphony::ops
