// SPDX-License-Identifier: Apache-2.0
#include "core/nn/ada_ln.h"

#include <ATen/ATen.h>

namespace polyphony::nn {
namespace {

void fill_zero(Linear& linear) {
  at::NoGradGuard no_grad;
  linear->weight.zero_();
  linear->bias.zero_();
}

}  // namespace

at::Tensor modulate(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale) {
  return at::addcmul(shift, x, 1 + scale);
}

AdaLnZero::AdaLnZero(int64_t dim) : linear_(register_module("linear", Linear(dim, 6 * dim))) { fill_zero(linear_); }

BlockModulation AdaLnZero::forward(const at::Tensor& condition_RD) {
  const auto part = linear_(at::silu(condition_RD)).chunk(6, -1);
  return {.attention_shift = part[0],
          .attention_scale = part[1],
          .attention_gate = part[2],
          .mlp_shift = part[3],
          .mlp_scale = part[4],
          .mlp_gate = part[5]};
}

FinalAdaLn::FinalAdaLn(int64_t dim) : linear_(register_module("linear", Linear(dim, 2 * dim))) { fill_zero(linear_); }

FinalModulation FinalAdaLn::forward(const at::Tensor& condition_RD) {
  const auto part = linear_(at::silu(condition_RD)).chunk(2, -1);
  return {.shift = part[0], .scale = part[1]};
}

}  // namespace polyphony::nn
