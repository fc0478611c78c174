// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/gate.h"

#include <ATen/ATen.h>

#include "moe/routers/selection.h"

namespace polyphony::moe {

Gate::Gate(torch::nn::Module& owner, int64_t rows, int64_t columns, int64_t hidden, const std::string& prefix) {
  weight = owner.register_parameter(prefix + "weight", gate_weight(rows, hidden > 0 ? hidden : columns));
  if (hidden > 0) hidden_weight = owner.register_parameter(prefix + "hidden", gate_weight(hidden, columns));
}

at::Tensor Gate::logits(const at::Tensor& x_TD) const {
  return gate_logits(hidden_weight.defined() ? gate_logits(x_TD, hidden_weight).tanh() : x_TD, weight);
}

}  // namespace polyphony::moe
