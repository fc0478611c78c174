// SPDX-License-Identifier: Apache-2.0
#include "core/ops/topk_softmax/topk_softmax_cuda.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include "core/ops/topk_softmax/topk_softmax_kernels.h"

namespace polyphony::ops {

TopkSoftmax topk_softmax_cuda(const at::Tensor& logits_TE, int64_t K) {
  const c10::DeviceGuard guard(logits_TE.device());
  TopkSoftmax out{.weight_TK = at::empty({logits_TE.size(0), K}, logits_TE.options()),
                  .expert_TK = at::empty({logits_TE.size(0), K}, logits_TE.options().dtype(at::kLong)),
                  .score_TE = at::empty_like(logits_TE)};
  launch(TopkSoftmaxRows{.logits_TE = logits_TE.const_data_ptr<float>(),
                         .score_TE = out.score_TE.mutable_data_ptr<float>(),
                         .weight_TK = out.weight_TK.mutable_data_ptr<float>(),
                         .expert_TK = out.expert_TK.mutable_data_ptr<int64_t>(),
                         .num_tokens = logits_TE.size(0),
                         .E = logits_TE.size(1),
                         .K = K});
  return out;
}

at::Tensor topk_softmax_gradient_cuda(const at::Tensor& score_TE, const at::Tensor& expert_TK,
                                      const at::Tensor& dweight_TK) {
  const c10::DeviceGuard guard(score_TE.device());
  at::Tensor dlogits_TE = at::empty_like(score_TE);
  launch(TopkSoftmaxGradientRows{.score_TE = score_TE.const_data_ptr<float>(),
                                 .expert_TK = expert_TK.const_data_ptr<int64_t>(),
                                 .dweight_TK = dweight_TK.const_data_ptr<float>(),
                                 .dlogits_TE = dlogits_TE.mutable_data_ptr<float>(),
                                 .num_tokens = score_TE.size(0),
                                 .E = score_TE.size(1),
                                 .K = expert_TK.size(1)});
  return dlogits_TE;
}

}  // namespace polyphony::ops
