// SPDX-License-Identifier: Apache-2.0
// Router similarity: experts are balanced one by one and pair by pair, so that combinations differ, too.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// (1 / T) sum_ij W_ij (P^T P)_ij, P (T, E) the softmax of the logits, M (T, E) 1 where a row chose; W is M^T M scaled
// so that its diagonal has mean 1 and what is beside it has mean 1. f32 scalar with gradient into P. 1 where all
// probabilities are 1 / E, whatever was chosen; 0 without tokens. Source: Expert Race (arXiv:2503.16057) (9)-(11).
// Throws ShapeError if the routing has no logits.
at::Tensor router_similarity_loss(const Routing& routing);

}  // namespace polyphony::moe
