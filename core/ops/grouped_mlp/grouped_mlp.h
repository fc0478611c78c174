// SPDX-License-Identifier: Apache-2.0
// The experts' gated MLPs on rows sorted by expert.
// Shapes: R sorted rows, D width, F expert hidden, E experts.
#pragma once
#include "core/ops/dispatch_plan/dispatch_plan.h"
#include "core/ops/gated_activation/gated_activation.h"

namespace polyphony::ops {

// x_RD (R, D), w13_E2FD (E, 2F, D) gate rows first, w2_EDF (E, D, F), one dtype -> (R, D):
// row r of expert e is W2[e] (act(W1[e] x_r) * (W3[e] x_r)). Gradients for x and the banks. On a GPU the plan's offsets
// are copied to the host unless all experts fit into one launch (grouped_product.h). Throws ShapeError.
at::Tensor grouped_mlp(const at::Tensor& x_RD, const DispatchPlan& plan, const at::Tensor& w13_E2FD,
                       const at::Tensor& w2_EDF, Activation activation = Activation::silu);

}  // namespace polyphony::ops
