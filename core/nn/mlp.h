// SPDX-License-Identifier: Apache-2.0
// The dense gated MLP: one expert without a router.
#pragma once
#include <torch/nn/module.h>

#include "core/ops/gated_activation/gated_activation.h"

namespace polyphony::nn {

struct MlpOptions {
  int64_t dim = 0;         // D
  int64_t hidden_dim = 0;  // F
  ops::Activation activation = ops::Activation::silu;
};

// x (.., D) -> w2 (act(w1 x) * w3 x). Parameters: w13 (2F, D) with the gate rows w1 first, w2 (D, F); no biases.
// Initialised uniformly in +-1 / sqrt(fan in), as torch::nn::Linear.
class Mlp : public torch::nn::Module {
 public:
  explicit Mlp(const MlpOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

  const at::Tensor& w13() const { return w13_2FD_; }
  const at::Tensor& w2() const { return w2_DF_; }

 private:
  at::Tensor w13_2FD_;
  at::Tensor w2_DF_;
  ops::Activation activation_;
};

}  // namespace polyphony::nn
