// SPDX-License-Identifier: Apache-2.0
// Balance over a global batch: the frequencies of all devices and micro-batches, the probabilities of this one.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// E sum_e f_e P_e with f_e = count_e / sum of counts; equal to load_balance_loss for the routing's own counts, and the
// mean of it over micro-batches that share count_E is the loss of their union. count_E: (E + Z), rows that each expert
// got over the global batch, no gradient. Source: Demons in the Detail (arXiv:2501.11873). Throws ShapeError.
at::Tensor global_balance_loss(const Routing& routing, const at::Tensor& count_E);

// f32 (E + Z): rows of each expert in this routing, to be added up over the global batch.
at::Tensor counts_of_experts(const Routing& routing);

}  // namespace polyphony::moe
