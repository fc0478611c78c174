// SPDX-License-Identifier: Apache-2.0
// The losses that a recipe names in [[moe.losses]], over all layers of a model.
#pragma once
#include <memory>
#include <vector>

#include "moe/moe_layer.h"

namespace polyphony::pipelines {

// Weighted sum, f32 scalar; one routing a layer. Groups and costs are the layers' own; `input` has the rest of what
// losses need. Undefined where the layers name no losses. Throws ShapeError.
at::Tensor auxiliary_losses(const std::vector<std::shared_ptr<moe::MoELayer>>& layers,
                            const std::vector<moe::Routing>& routings, moe::LossInput input);

// The layers of a model's blocks.
template <typename Blocks>
std::vector<std::shared_ptr<moe::MoELayer>> moe_layers(const Blocks& blocks) {
  std::vector<std::shared_ptr<moe::MoELayer>> layers;
  for (const auto& block : blocks) layers.push_back(block->moe());
  return layers;
}

}  // namespace polyphony::pipelines
