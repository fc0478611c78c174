// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/auxiliary_losses.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::pipelines {

at::Tensor auxiliary_losses(const std::vector<std::shared_ptr<moe::MoELayer>>& layers,
                            const std::vector<moe::Routing>& routings, moe::LossInput input) {
  check<ShapeError>(layers.size() == routings.size(), "[losses] expected one routing for each of ", layers.size(),
                    " layers, got ", routings.size());
  at::Tensor sum;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const auto& config = layers[layer]->config();
    if (config.losses.empty()) continue;
    input.groups = config.groups;
    input.cost_E = layers[layer]->experts()->cost_E();
    const auto loss = moe::auxiliary_loss(config.losses, {routings[layer]}, input);
    sum = sum.defined() ? sum + loss : loss;
  }
  return sum;
}

}  // namespace polyphony::pipelines
