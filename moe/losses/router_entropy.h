// SPDX-License-Identifier: Apache-2.0
// Router entropy: small when each token is sure of its experts.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// Mean over tokens of -sum_e p log p in nats, p the softmax of the logits; f32 scalar, 0 without tokens.
// Added to the loss it stops a top-p router from flattening to buy more experts. Source: arXiv:2403.07652, dynamic
// loss. Throws ShapeError if the routing has no logits.
at::Tensor router_entropy_loss(const Routing& routing);

}  // namespace polyphony::moe
