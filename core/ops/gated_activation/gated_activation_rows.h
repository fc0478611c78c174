// SPDX-License-Identifier: Apache-2.0
// The gated activation on plain rows of memory: what the CPU operations call inside their tasks.
#pragma once
#include "core/ops/gated_activation/gated_activation.h"
#include "core/ops/row_math.h"

namespace polyphony::ops {

// a[f] = act(h[f]) * h[F + f] of one row; T is float, c10::BFloat16 or double.
template <class T>
void gated_activation_row(const T* h, T* a, int64_t F, Activation activation);

// Gradients of one row: dh (2F) of h for weight * da, and weighted_a (F) = weight * a.
// Returns sum_f da[f] * a[f], the gradient of the weight.
template <class T>
Compute<T> gated_activation_row_backward(const T* h, const T* da, Compute<T> weight, T* dh, T* weighted_a, int64_t F,
                                         Activation activation);

}  // namespace polyphony::ops
