// SPDX-License-Identifier: Apache-2.0
// The scores of a softmax router and its choice in one pass.
// Shapes: T tokens, E experts, K chosen.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

struct TopkSoftmax {
  at::Tensor weight_TK;  // f32, falling: the chosen scores, not normalised again; differentiable
  at::Tensor expert_TK;  // i64; ties go to the lowest index
  at::Tensor score_TE;   // f32 softmax of the logits; without gradient
};

// logits_TE f32 (T, E), -inf where an expert is forbidden; K in [1, E]. Where a row has fewer than K allowed experts,
// the rest of its choice is expert E with weight 0, which a dispatch plan of E experts skips. Throws ShapeError.
TopkSoftmax topk_softmax(const at::Tensor& logits_TE, int64_t K);

// The definition in differentiable LibTorch operations.
TopkSoftmax topk_softmax_reference(const at::Tensor& logits_TE, int64_t K);

}  // namespace polyphony::ops
