// SPDX-License-Identifier: Apache-2.0
// A product of two bf16 matrices on the calling thread, with sums in f32: what the tasks of moe_experts are made of.
// Any shape works through padding. The bits depend on the shapes and the level alone.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/base/cpu_level.h"

namespace polyphony::ops {

// out (M, N) = a (M, K) b (K, N). a, b bf16 with one stride of 1 each (a transposed view of rows will do); out bf16 or
// f32 with rows of contiguous values. K = 0 gives 0. Weights are read once for all rows of the other operand and need
// no layout of their own: whichever operand has more vectors is streamed, in the orientation that it lies in memory.
// Throws ShapeError on what does not fit, and where the machine lacks `level`.
void bf16_product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, CpuLevel level = cpu_level());

// The same for any dtype: bf16 goes to bf16_product, others to LibTorch's product.
void product_on_this_thread(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b);

}  // namespace polyphony::ops
