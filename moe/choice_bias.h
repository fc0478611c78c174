// SPDX-License-Identifier: Apache-2.0
// Balance without a loss: a bias on the choice, moved after each step by the sign of the load.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "moe/routing.h"

namespace polyphony::moe {

struct ChoiceBiasOptions {
  double rate = 0.001;                    // gamma
  std::vector<int64_t> group_sizes = {};  // experts are compared within their group; empty: one group of all
};

// bias_e += rate * sign(mean load - load_e), in place and without gradient. load_E: rows that each expert got, of all
// devices together. A group without any load keeps its biases. Throws ShapeError.
// Source: auxiliary-loss-free balancing (arXiv:2408.15664); DeepSeek-V3 (arXiv:2412.19437) 2.1.2.
void update_choice_bias(const at::Tensor& bias_E, const at::Tensor& load_E, const ChoiceBiasOptions& options = {});

class MoELayer;

// update_choice_bias of the layer's router, if it has such a bias, by the rows of one training step, each group of
// experts for itself.
void follow_load(MoELayer& layer, const Routing& routing);

}  // namespace polyphony::moe
