// SPDX-License-Identifier: Apache-2.0
// Products with packed weights, for inference: linear layers and the experts of an MoE layer.
#pragma once
#include "core/base/cpu_level.h"
#include "core/ops/moe_experts/moe_experts.h"
#include "core/ops/packed_product/packed_matrices.h"

namespace polyphony::ops {

// x (..., K) f32 or bf16 on the CPU, w of count 1 and not gated, bias (N) or undefined -> (..., N) in x's dtype:
// x W^T + bias. x is rounded to bf16, sums are f32; no gradient. The same bits for any number of threads. Quantised
// weights meet up to four rows as f32 and more of them rounded to bf16: a row's last bits depend on its company.
// Throws ShapeError on what does not fit and where the machine lacks `level`.
at::Tensor packed_linear(const at::Tensor& x, const PackedMatrices& w, const at::Tensor& bias_N = {},
                         CpuLevel level = cpu_level());

// The experts of a layer: w13 gated (E, 2F, D), w2 (E, D, F).
struct PackedExperts {
  PackedMatrices w13;
  PackedMatrices w2;
};

// moe_experts with packed banks (and a packed shared expert of count 1, of any hidden size): the same contract but for
// gradients, of which there are none. Activations between the two products are bf16.
at::Tensor packed_experts(const at::Tensor& x_TD, const DispatchPlan& plan, const at::Tensor& weight_N,
                          const PackedExperts& experts, const PackedExperts* shared = nullptr,
                          Activation activation = Activation::silu, CpuLevel level = cpu_level());

}  // namespace polyphony::ops
