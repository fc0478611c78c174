// SPDX-License-Identifier: Apache-2.0
// Scores and choice by CUDA kernels. Nothing is checked, nothing waits for the GPU.
#pragma once
#include "core/ops/topk_softmax/topk_softmax.h"

namespace polyphony::ops {

TopkSoftmax topk_softmax_cuda(const at::Tensor& logits_TE, int64_t K);

// The gradient of the logits for that of the weights.
at::Tensor topk_softmax_gradient_cuda(const at::Tensor& score_TE, const at::Tensor& expert_TK,
                                      const at::Tensor& dweight_TK);

}  // namespace polyphony::ops
