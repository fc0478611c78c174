// SPDX-License-Identifier: Apache-2.0
// A gate of one or two layers.
#pragma once
#include <torch/nn/module.h>

#include "moe/router_config.h"

namespace polyphony::moe {

// logits = W x, or W tanh(V x) with a hidden width; no biases, f32. Parameters: weight, and hidden.
// Source of the second form: MoE++ (arXiv:2410.07348), released code.
struct Gate {
  Gate() = default;
  // Registers the parameters in `owner`, their names behind `prefix`.
  Gate(torch::nn::Module& owner, int64_t rows, int64_t columns, int64_t hidden, const std::string& prefix = "");
  at::Tensor logits(const at::Tensor& x_TD) const;

  at::Tensor weight, hidden_weight;  // the latter undefined without a hidden layer
};

}  // namespace polyphony::moe
