// SPDX-License-Identifier: Apache-2.0
#include "moe/experts/gated_mlp.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/check.h"

namespace polyphony::moe {

at::Tensor expert_weight(at::IntArrayRef shape) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(shape.back()));
  return at::empty(shape, at::kFloat).uniform_(-bound, bound);
}

ops::Activation activation_of(const std::string& name) {
  if (name == "silu") return ops::Activation::silu;
  if (name == "gelu") return ops::Activation::gelu;
  fail<ConfigError>("[moe] activation must be silu | gelu, got '", name, "'");
}

at::ScalarType compute_dtype_of(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  fail<ConfigError>("[moe] compute_dtype must be float32 | bfloat16, got '", name, "'");
}

SharedMlp::SharedMlp(int64_t model_dim, int64_t hidden)
    : w13_2FD_(register_parameter("w13", expert_weight({2 * hidden, model_dim}))),
      w2_DF_(register_parameter("w2", expert_weight({model_dim, hidden}))) {}

at::Tensor SharedMlp::forward(const at::Tensor& x_TD, ops::Activation activation) const {
  const auto h = at::linear(x_TD, w13_2FD_.to(x_TD.scalar_type())).chunk(2, -1);
  const auto gated_TF = (activation == ops::Activation::silu ? at::silu(h[0]) : at::gelu(h[0])) * h[1];
  return at::linear(gated_TF, w2_DF_.to(x_TD.scalar_type()));
}

}  // namespace polyphony::moe
