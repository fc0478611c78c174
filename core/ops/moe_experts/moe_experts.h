// SPDX-License-Identifier: Apache-2.0
// The fused contract of the MoE layer: gather, gated MLP of each expert, weighted combine in fixed order.
// Shapes: T tokens, D width, F expert hidden, E experts, N routing rows.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

#include "core/ops/dispatch_plan/dispatch_plan.h"
#include "core/ops/gated_activation/gated_activation.h"

namespace polyphony::ops {

// A dense gated MLP that every token passes, added with weight 1. Gate rows first, then up rows.
struct SharedExpert {
  at::Tensor w13_2FD;  // (2 F_s, D)
  at::Tensor w2_DF;    // (D, F_s)
};

// Where the gradients of the banks go in f32, whatever the banks' dtype: contiguous, of the banks' sizes, on the CPU.
// Added to what is there, so that a batch in parts costs no pass of its own, or written over it.
struct BankGradients {
  at::Tensor w13_E2FD;
  at::Tensor w2_EDF;
  bool accumulate = true;
};

// y_t = sum over rows n of t, ascending by expert: weight_N[n] * W2[e] (act(W1[e] x_t) * (W3[e] x_t))  (+ shared(x_t)).
// x_TD f32 or bf16 (f64 for gradient checks), banks of the same dtype; weight_N f32 (f64 for f64), (N); w13_E2FD (E,
// 2F, D): gate rows first, then up rows; w2_EDF (E, D, F). Returns (T, D) in x's dtype; sums over a token's experts in
// f32. The same bits for any number of threads. Gradients for x, weight_N, both banks and the shared expert, once (no
// double backward: Error). Tokens without rows give 0 (+ shared). Where autocast to bf16 is on, products of f32 tensors
// on the CPU are computed in bf16 with sums in f32; all tensors and gradients stay f32. With `into`, backward leaves
// the banks' gradients there and autograd gets none for them (f64 banks: Error). Throws ShapeError on shapes, dtypes or
// devices that do not fit.
at::Tensor moe_experts(const at::Tensor& x_TD, const DispatchPlan& plan, const at::Tensor& weight_N,
                       const at::Tensor& w13_E2FD, const at::Tensor& w2_EDF,
                       const std::optional<SharedExpert>& shared = std::nullopt,
                       Activation activation = Activation::silu,
                       const std::optional<BankGradients>& into = std::nullopt);

// The definition in differentiable LibTorch operations, one expert after another; tests and benchmarks compare with it.
at::Tensor moe_experts_reference(const at::Tensor& x_TD, const DispatchPlan& plan, const at::Tensor& weight_N,
                                 const at::Tensor& w13_E2FD, const at::Tensor& w2_EDF,
                                 const std::optional<SharedExpert>& shared = std::nullopt,
                                 Activation activation = Activation::silu);

}  // namespace polyphony::ops
