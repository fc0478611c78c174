// SPDX-License-Identifier: Apache-2.0
// Training as a front end starts it: options in, a summary out. Standard library only.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace polyphony::pipelines {

struct TrainOptions {
  std::string recipe = {};            // a TOML file
  std::vector<std::string> set = {};  // "key=value" over the recipe
  std::string resume = {};      // empty: start anew; "auto": newest valid checkpoint of the output folder; or its path
  std::string init_from = {};   // a model folder whose weights are the start, with a fresh optimiser
  std::string output = {};      // run folder; empty: the recipe's
  std::string device = "auto";  // auto | cpu | cuda | cuda:N
  std::string dtype = {};       // empty: the recipe's
  int64_t threads = 0;          // 0: as many as the process may use
  bool overwrite = false;       // a run folder that already holds a run is refused otherwise
  bool dry_run = false;         // builds the model and reports, trains no step
};

// One logged step.
struct TrainEvent {
  int64_t step = 0;
  int64_t total_steps = 0;
  double loss = 0;
  double learning_rate = 0;
  double samples_per_second = 0;
};
// False: write a checkpoint and stop.
using OnTrainEvent = std::function<bool(const TrainEvent&)>;

struct TrainResult {
  bool stopped = false;  // by on_event, before the last step
  int64_t steps = 0;     // done in all, also by earlier runs
  double final_loss = 0;
  double seconds = 0;             // of this run
  std::string output = {};        // run folder
  std::string checkpoint = {};    // newest; empty for a dry run
  std::string model_folder = {};  // exported weights; empty if none
  int64_t parameters_total = 0;
  int64_t parameters_active = 0;
  std::vector<std::string> notes = {};  // one line each, e.g. what a dry run found
};

// Throws ConfigError (recipe), DataError (checkpoint, init_from), NonFiniteError, MemoryError.
TrainResult run_training(const TrainOptions& options, const OnTrainEvent& on_event);
std::string to_json(const TrainResult& result);  // schema "polyphony.train/1"

}  // namespace polyphony::pipelines
