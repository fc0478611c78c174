// SPDX-License-Identifier: Apache-2.0
// The gated activation between the two products of an expert: act(gate) * up.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

// silu gives SwiGLU, gelu gives GEGLU in the tanh form. Source: GLU Variants Improve Transformer (arXiv:2002.05202).
enum class Activation : uint8_t { silu, gelu };

// h_R2F (R, 2F): gate columns first, then up columns -> (R, F) in h's dtype, computed in f32 (f64 for f64).
// Differentiable once. Throws ShapeError unless h is f32, bf16 or f64 of two dimensions and an even width.
at::Tensor gated_activation(const at::Tensor& h_R2F, Activation activation = Activation::silu);

// The definition in differentiable LibTorch operations.
at::Tensor gated_activation_reference(const at::Tensor& h_R2F, Activation activation = Activation::silu);

}  // namespace polyphony::ops
