// SPDX-License-Identifier: Apache-2.0
// Root mean square normalisation on plain rows of memory.
#pragma once
#include "core/ops/row_math.h"

namespace polyphony::ops {

// y[d] = x[d] * r * weight[d] with r = 1 / sqrt(mean(x^2) + eps), which is returned. T is float, c10::BFloat16 or
// double.
template <class T>
Compute<T> rms_norm_row(const T* x, const Compute<T>* weight_D, T* y, int64_t D, double eps);

// dx of one row for dy; adds dy * x * r to dweight_D. r is what the forward row returned.
template <class T>
void rms_norm_row_backward(const T* x, const Compute<T>* weight_D, const T* dy, Compute<T> r, T* dx,
                           Compute<T>* dweight_D, int64_t D);

}  // namespace polyphony::ops
