// SPDX-License-Identifier: Apache-2.0
// The training loop: loss, backward, clipped AdamW step with EMA, log, checkpoints, export.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "pipelines/train/checkpoint.h"
#include "pipelines/train/objective.h"
#include "pipelines/train/recipe.h"
#include "pipelines/train/run_log.h"
#include "pipelines/train/train.h"

namespace polyphony::pipelines {

// Runs recipe.max_steps steps of the objective, going on from `resume` if given. On_event is asked after each logged
// step and after a signal: false saves a checkpoint and stops. Bitwise the same whether interrupted or not (CPU, one
// thread). Throws NonFiniteError after recipe.max_skipped_steps bad steps in a row.
TrainResult train_objective(Objective& objective, const TrainRecipe& recipe, const std::optional<Checkpoint>& resume,
                            const std::string& recipe_toml, const OnTrainEvent& on_event);

}  // namespace polyphony::pipelines
