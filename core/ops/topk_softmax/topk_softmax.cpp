// SPDX-License-Identifier: Apache-2.0
#include "core/ops/topk_softmax/topk_softmax.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/ops/parallel.h"
#include "core/ops/topk_softmax/topk_softmax_cuda.h"
#include "core/ops/topk_softmax/topk_softmax_row.h"

namespace polyphony::ops {
namespace {

TopkSoftmax topk_softmax_cpu(const at::Tensor& logits_TE, int64_t K) {
  const int64_t E = logits_TE.size(1);
  TopkSoftmax out{.weight_TK = at::empty({logits_TE.size(0), K}, logits_TE.options()),
                  .expert_TK = at::empty({logits_TE.size(0), K}, logits_TE.options().dtype(at::kLong)),
                  .score_TE = at::empty_like(logits_TE)};
  const float* logit = logits_TE.const_data_ptr<float>();
  float* score = out.score_TE.mutable_data_ptr<float>();
  float* weight = out.weight_TK.mutable_data_ptr<float>();
  int64_t* expert = out.expert_TK.mutable_data_ptr<int64_t>();
  at::parallel_for(0, logits_TE.size(0), kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t)
      topk_softmax_row(logit + t * E, E, K, score + t * E, weight + t * K, expert + t * K);
  });
  return out;
}

struct TopkSoftmaxFunction : torch::autograd::Function<TopkSoftmaxFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* ctx, const at::Tensor& logits_TE,
                                                int64_t K) {
    const TopkSoftmax out = logits_TE.is_cpu() ? topk_softmax_cpu(logits_TE, K) : topk_softmax_cuda(logits_TE, K);
    ctx->save_for_backward({out.expert_TK, out.score_TE});
    ctx->mark_non_differentiable({out.expert_TK, out.score_TE});
    return {out.weight_TK, out.expert_TK, out.score_TE};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor& score_TE = saved[1];
    if (!score_TE.is_cpu()) return {topk_softmax_gradient_cuda(score_TE, saved[0], gradients[0].contiguous()), {}};
    const int64_t E = score_TE.size(1);
    // Missing choices point at the column behind the last expert, which is dropped.
    const at::Tensor dscore_TE =
        at::zeros({score_TE.size(0), E + 1}, score_TE.options()).scatter(1, saved[0], gradients[0]).narrow(1, 0, E);
    return {score_TE * (dscore_TE - (dscore_TE * score_TE).sum(1, true)), {}};
  }
};

}  // namespace

TopkSoftmax topk_softmax(const at::Tensor& logits_TE, int64_t K) {
  check<ShapeError>(logits_TE.defined() && logits_TE.dim() == 2 && logits_TE.scalar_type() == at::kFloat,
                    "[topk_softmax] logits must be f32 (T, E)");
  check<ShapeError>(K >= 1 && K <= logits_TE.size(1), "[topk_softmax] K must be in [1, ", logits_TE.size(1), "], got ",
                    K);
  const auto out = TopkSoftmaxFunction::apply(logits_TE.contiguous(), K);
  return {.weight_TK = out[0], .expert_TK = out[1], .score_TE = out[2]};
}

}  // namespace polyphony::ops
