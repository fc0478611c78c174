// SPDX-License-Identifier: Apache-2.0
// A bf16 copy that a weight carries with it, for the products of autocast: they round f32 weights on the way, in each
// forward and again in each backward. From a copy they read half the bytes and round nothing. It lies as the weight
// does: products pack the rows of either orientation while they stream (core/ops/bf16_product), so one serves both.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

// From now on `weight` (f32, on the CPU, without gaps) carries a copy, written at once; adamw_step_ writes it anew in
// the pass that changes the weight. Copies of a tensor and views of it carry none. Throws ShapeError.
void keep_bf16_copy(const at::Tensor& weight);

// The copy if `weight` carries one of what it holds now, else `weight` itself: after any change that autograd counts
// (in place, loaded, other memory set) until the next step of AdamW. A product of either has the same bits at
// cpu_level().
at::Tensor bf16_copy_or_self(const at::Tensor& weight);

// For what writes weights. The copy that `weight` carries, whatever it holds, if it still fits; else undefined.
at::Tensor carried_bf16_copy(const at::Tensor& weight);
// `copy` is what `weight` holds now, rounded as products would.
void carry_bf16_copy(const at::Tensor& weight, const at::Tensor& copy);

}  // namespace polyphony::ops
