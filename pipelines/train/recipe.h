// SPDX-License-Identifier: Apache-2.0
// The part of a recipe that every objective shares. Key names follow Hugging Face's TrainingArguments.
#pragma once
#include <filesystem>
#include <string>

#include "core/base/config.h"
#include "pipelines/train/lr_schedule.h"
#include "pipelines/train/optimizer.h"

namespace polyphony::pipelines {

struct TrainRecipe {
  std::filesystem::path output = {};  // run folder
  uint64_t seed = 0;
  bool bf16 = true;
  int64_t max_steps = 1000;
  int64_t logging_steps = 20;
  int64_t save_steps = 1000;
  int64_t save_total_limit = 2;
  double sample_minutes = 5;       // a picture of samples every so often; 0 for none
  int64_t max_skipped_steps = 20;  // non-finite steps in a row before the run stops
  LrSchedule schedule = {};
  OptimizerConfig optimizer = {};
};

// Reads [run] and [train]. Throws ConfigError.
TrainRecipe train_recipe(const Config& config);

}  // namespace polyphony::pipelines
