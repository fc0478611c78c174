// SPDX-License-Identifier: Apache-2.0
// The objectives that a recipe can name; one .cpp each.
#pragma once
#include <memory>

#include "pipelines/train/objective.h"

namespace polyphony::pipelines {

std::unique_ptr<Objective> make_autoencoder_objective(Config& recipe, const ObjectiveOptions& options);
std::unique_ptr<Objective> make_joint_objective(Config& recipe, const ObjectiveOptions& options);

}  // namespace polyphony::pipelines
