// SPDX-License-Identifier: Apache-2.0
// Router z-loss: keeps the logits small, so that their rounding matters less.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// Mean over tokens of (log sum_e exp logit_te)^2, f32 scalar; 0 without tokens. Forbidden experts count for nothing.
// Source: ST-MoE (arXiv:2202.08906) (5). Throws ShapeError if the routing has no logits.
at::Tensor router_z_loss(const Routing& routing);

}  // namespace polyphony::moe
