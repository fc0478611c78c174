// SPDX-License-Identifier: Apache-2.0
// The objectives that a recipe can name; one .cpp each.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "moe/expert_stats.h"
#include "pipelines/train/objective.h"

namespace polyphony::pipelines {

std::unique_ptr<Objective> make_autoencoder_objective(Config& recipe, const ObjectiveOptions& options);
std::unique_ptr<Objective> make_joint_objective(Config& recipe, const ObjectiveOptions& options);
std::unique_ptr<Objective> make_dit_moe_objective(Config& recipe, const ObjectiveOptions& options);

// Load, entropy and dead experts of each layer, for Objective::statistics.
std::map<std::string, double> expert_figures(const std::vector<moe::ExpertCounts>& counts);

// Training keeps weights, gradients, two moments and the average, f32 each. An absurd size is refused before a byte of
// it is asked for. Throws MemoryError.
void check_memory_to_train(double parameters);

}  // namespace polyphony::pipelines
