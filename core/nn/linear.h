// SPDX-License-Identifier: Apache-2.0
// torch::nn::Linear with the products of ops::linear; the same parameters, names and initial values.
#pragma once
#include <torch/nn/modules/linear.h>

#include "core/ops/linear/linear.h"

namespace polyphony::nn {

struct LinearImpl : torch::nn::LinearImpl {
  using torch::nn::LinearImpl::LinearImpl;
  at::Tensor forward(const at::Tensor& x) { return ops::linear(x, weight, bias); }
};
TORCH_MODULE(Linear);

}  // namespace polyphony::nn
