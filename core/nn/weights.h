// SPDX-License-Identifier: Apache-2.0
// The matrices of a linear map or of a bank of experts in the state that they are in, and their products.
#pragma once
#include <variant>

#include "core/ops/packed_product/packed_product.h"

namespace polyphony::nn {

// Plain: (N, K) of a map, (E, N, K) of a bank, f32 or bf16. Quantised: as a file has them, E = 1 for a map. Packed: as
// the kernels read them.
using Weights = std::variant<at::Tensor, ops::QuantizedMatrices, ops::PackedMatrices>;

// Plain weights in `format`, quantised ones in their own. `gated`: see ops::pack_matrices. Packed ones stay.
Weights packed(const Weights& weights, ops::WeightFormat format, bool gated = false);

// The weights as products see them: plain ones as they are, others f32, of the shape that plain ones would have; not
// for gated ones that are packed.
at::Tensor plain(const Weights& weights, bool bank = false);

// x (..., K) -> (..., N) in x's dtype, computed in that of the weights, or in bf16 where they are packed. Throws
// ShapeError for quantised weights, which have no product.
at::Tensor product(const at::Tensor& x, const Weights& weights_NK);

// ops::moe_experts of these banks, both plain or both packed (w13 gated); the result has x's dtype.
at::Tensor experts_product(const at::Tensor& x_TD, const ops::DispatchPlan& plan, const at::Tensor& weight_N,
                           const Weights& w13_E2FD, const Weights& w2_EDF,
                           ops::Activation activation = ops::Activation::silu);

}  // namespace polyphony::nn
