// SPDX-License-Identifier: Apache-2.0
// Mutual information of tokens and experts: each token sure of its expert, all experts used.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// mean_t H(e | t) - H(e) in nats, H(e) the entropy of the mean probabilities, probabilities the softmax of the logits;
// f32 scalar. -log E where every token is certain and the experts even, 0 where all tokens have the same probabilities.
// Source: Dense Training, Sparse Inference (arXiv:2404.05567). Throws ShapeError if the routing has no
// logits.
at::Tensor mutual_information_loss(const Routing& routing);

}  // namespace polyphony::moe
