// SPDX-License-Identifier: Apache-2.0
// A product of two matrices on the calling thread, of values in bf16 and with sums in f32: what the tasks of
// moe_experts and linear are made of. Any shape works through padding. The bits depend on the shapes and the level
// alone.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/base/cpu_level.h"

namespace polyphony::ops {

// out (M, N) = a (M, K) b (K, N), each bf16 or f32; f32 operands are rounded to bf16 on the way. a and b have one
// stride of 1 each (a transposed view of rows will do), out has rows of contiguous values. K = 0 gives 0. Weights are
// read once for all rows of the other operand and need no layout of their own: whichever operand has more vectors is
// streamed, in the orientation that it lies in memory. `add`: added to what out holds. Throws ShapeError on what does
// not fit, and where the machine lacks `level`.
void bf16_product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool add = false,
                  CpuLevel level = cpu_level());

// The same for any dtype: bf16, and f32 where `in_bf16`, go to bf16_product, the rest to LibTorch's product.
void product_on_this_thread(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool in_bf16 = false,
                            bool add = false);

}  // namespace polyphony::ops
