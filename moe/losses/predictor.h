// SPDX-License-Identifier: Apache-2.0
// The loss of auxiliary routers, which learn from a batch's choices to decide token by token.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// Mean over tokens and experts of the binary cross entropy of sigmoid(predictor_te) against 1 where a row (t, e) was
// chosen, else 0 (predictor of (T, 1): where the token has any row); f32 scalar, log 2 for logits of 0, 0 without
// tokens. Only the predictor gets gradient. Sources: MoMa (arXiv:2407.21770); DiffMoE (arXiv:2503.14487). Throws
// ShapeError if the routing has no predictor.
at::Tensor predictor_loss(const Routing& routing);

}  // namespace polyphony::moe
