// SPDX-License-Identifier: Apache-2.0
// One draw of SparseMixer: an expert among those close to the best, with a weight whose gradient estimates that of the
// draw.
#pragma once
#include "moe/routing.h"

namespace polyphony::moe {

struct MixerPick {
  at::Tensor expert_T1;  // i64
  at::Tensor weight_T1;
  at::Tensor keep_T1;  // bool: false where nothing was left to pick
};

// Experts compete whose logit lies within 2 epsilon of the best, relative to the larger of the two; the weight is the
// softmax among them. While training the expert is drawn, and a draw that is neither the best nor one in four counts a
// third (Heun's third-order rule), while the gradient is that of the whole weight. logits_TE: -inf is out.
// Source: Sparse Backpropagation (arXiv:2310.00811) 3; GRIN (arXiv:2409.12136) 2.2.
MixerPick mixer_pick(const at::Tensor& logits_TE, double epsilon, const RoutingContext& context);

}  // namespace polyphony::moe
