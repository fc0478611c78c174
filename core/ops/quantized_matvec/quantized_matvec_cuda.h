// SPDX-License-Identifier: Apache-2.0
// The product by CUDA kernels. Nothing is checked, nothing waits for the GPU.
#pragma once
#include "core/ops/quantized_matvec/quantized_matvec.h"

namespace polyphony::ops {

at::Tensor quantized_matvec_cuda(const at::Tensor& x_TK, const QuantizedMatrices& w, const at::Tensor& token_R,
                                 const at::Tensor& expert_R);

}  // namespace polyphony::ops
