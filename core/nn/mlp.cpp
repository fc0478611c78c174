// SPDX-License-Identifier: Apache-2.0
#include "core/nn/mlp.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/check.h"
#include "core/ops/linear/linear.h"

namespace polyphony::nn {
namespace {

at::Tensor uniform_weight(int64_t out_dim, int64_t in_dim) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in_dim));
  return at::empty({out_dim, in_dim}).uniform_(-bound, bound);
}

}  // namespace

Mlp::Mlp(const MlpOptions& options) : activation_(options.activation) {
  check<ShapeError>(options.dim > 0 && options.hidden_dim > 0, "[mlp] dim and hidden_dim must be positive, got ",
                    options.dim, " and ", options.hidden_dim);
  w13_2FD_ = register_parameter("w13", uniform_weight(2 * options.hidden_dim, options.dim));
  w2_DF_ = register_parameter("w2", uniform_weight(options.dim, options.hidden_dim));
}

at::Tensor Mlp::forward(const at::Tensor& x) const {
  const at::Tensor h_R2F = ops::linear(x, w13_2FD_).reshape({-1, w13_2FD_.size(0)});
  return ops::linear(ops::gated_activation(h_R2F, activation_), w2_DF_).view(x.sizes());
}

}  // namespace polyphony::nn
