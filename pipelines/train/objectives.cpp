// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/objectives.h"

namespace polyphony::pipelines {

std::unique_ptr<Objective> make_objective(Config& recipe, const ObjectiveOptions& options) {
  const auto type = recipe.section("objective").required_text("type", {"autoencoder", "joint"});
  return type == "autoencoder" ? make_autoencoder_objective(recipe, options) : make_joint_objective(recipe, options);
}

}  // namespace polyphony::pipelines
