// SPDX-License-Identifier: Apache-2.0
// One linear map an expert, on rows sorted by expert.
// Shapes: R sorted rows, I inputs, O outputs, E experts.
#pragma once
#include "core/ops/dispatch_plan/dispatch_plan.h"

namespace polyphony::ops {

// x_RI, w_EOI, one dtype (f32, bf16, f64) -> (R, O): row r of expert e is w[e] x_r. Gradients for both, once. On a GPU
// the plan's offsets are copied to the host. Throws ShapeError.
at::Tensor grouped_linear(const at::Tensor& x_RI, const DispatchPlan& plan, const at::Tensor& w_EOI);

}  // namespace polyphony::ops
