// SPDX-License-Identifier: Apache-2.0
// Balance of experts that are not meant to be used alike.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// (sum_e 1 / eta_e) sum_e eta_e f_e P_e, f_e the share of the rows of e, P_e its mean probability; f32 scalar. 1 where
// f_e and P_e are in proportion to 1 / eta_e, which is its balance; equal to load_balance_loss for eta = 1. eta_E: (E +
// Z), above 0. Source: MoE++ (arXiv:2410.07348): eta is 1 for an MLP and tau for experts that cost nothing, so
// that MLPs get tau n / (tau n + z) of the rows; the paper's sum is without the first factor. Throws ShapeError.
at::Tensor heterogeneous_balance_loss(const Routing& routing, const at::Tensor& eta_E);

}  // namespace polyphony::moe
