// SPDX-License-Identifier: Apache-2.0
// The linear map of a layer, whose bf16 products any number of rows shares: LibTorch's own write new machine code for
// each number of rows, which costs more than the product where a batch's tokens differ from step to step.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

// x (..., I), weight_OI (O, I), bias_O (O) or undefined -> (..., O) in x's dtype: x weight^T + bias. Gradients for all
// three, once. On the CPU products are bf16_product's where all is bf16, and where autocast to bf16 is on and the
// weight f32: then the result is f32, as are the gradients. Otherwise at::linear. The same bits for any number of
// threads. Throws ShapeError.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight_OI, const at::Tensor& bias_O = {});

// True where products with this weight are to be in bf16 although it is f32: on the CPU under autocast to bf16.
bool rounds_products(const at::Tensor& weight);

}  // namespace polyphony::ops
