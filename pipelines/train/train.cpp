// SPDX-License-Identifier: Apache-2.0
// run_training: a recipe file to a finished run.
#include "pipelines/train/train.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/base/cpu_level.h"
#include "core/check.h"
#include "core/rng.h"
#include "pipelines/train/trainer.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kRecipeVersion = 1;

// A step allocates and frees the same large buffers, and packed batches differ in length from step to step. Both
// defaults are made for other loads: glibc gives large blocks back to the system at once, and oneDNN keeps 1024 kernels
// and compiles every further shape anew (measured: two thirds of the time of a small model's step).
void keep_memory_and_kernels() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32768", /*overwrite=*/0);
}

Config read_config(const TrainOptions& options) {
  auto config = Config::from_file(options.recipe);
  config.set_from_environment();
  for (const auto& assignment : options.set) {
    const auto equals = assignment.find('=');
    check<ConfigError>(equals != std::string::npos && equals > 0, "[train] --set expects key=value, got '", assignment,
                       "'");
    config.set(assignment.substr(0, equals), assignment.substr(equals + 1), "--set " + assignment.substr(0, equals));
  }
  return config;
}

std::optional<Checkpoint> checkpoint_to_resume(const TrainOptions& options, const fs::path& output,
                                               TrainResult& result) {
  if (options.resume.empty()) return std::nullopt;
  if (options.resume != "auto") return load_checkpoint(options.resume);
  std::string warnings;
  const auto newest = newest_checkpoint(output / "checkpoints", &warnings);
  if (!warnings.empty()) result.notes.push_back(warnings);
  if (!newest) {
    result.notes.push_back("no checkpoint in " + (output / "checkpoints").string() + ": starting anew");
    return std::nullopt;
  }
  return load_checkpoint(*newest);
}

// Modules below the recipe check its values without knowing its file.
std::unique_ptr<Objective> objective_of(Config& config, const ObjectiveOptions& options, const std::string& recipe) {
  try {
    return make_objective(config, options);
  } catch (const ConfigError& error) {
    const std::string message = error.what();
    throw ConfigError(message.starts_with('[') ? recipe + ": " + message : message);
  }
}

}  // namespace

TrainResult run_training(const TrainOptions& options, const OnTrainEvent& on_event) {
  keep_memory_and_kernels();
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  auto config = read_config(options);
  config.check_version(kRecipeVersion);
  auto recipe = train_recipe(config);
  if (!options.output.empty()) recipe.output = options.output;
  if (!options.dtype.empty()) {
    check<UsageError>(options.dtype == "auto" || options.dtype == "float32" || options.dtype == "bfloat16",
                      "[train] dtype must be float32 or bfloat16, got '", options.dtype, "'");
    if (options.dtype != "auto") recipe.bf16 = options.dtype == "bfloat16";
  }
  check<UsageError>(options.resume.empty() || options.init_from.empty(),
                    "[train] --resume goes on with a run and --init-from starts one: give one of them");

  TrainResult notes;
  // Initial weights come from LibTorch's own generator, which nothing else seeds.
  at::manual_seed(derive_seed(recipe.seed, "weights"));
  const auto objective = objective_of(
      config, {.seed = recipe.seed, .bf16 = recipe.bf16, .output = recipe.output, .init_from = options.init_from},
      options.recipe);
  config.check_all_used();
  int64_t parameters = 0;
  for (const auto& p : objective->module().parameters()) parameters += p.numel();
  notes.parameters_total = parameters;
  if (const auto note = objective->note(); !note.empty()) notes.notes.push_back(note);
  if (recipe.bf16) notes.notes.push_back(join("products in bf16, processor level ", to_string(cpu_level())));
  if (options.dry_run) {
    notes.notes.push_back(join("the recipe is valid; ", parameters, " parameters, ",
                               recipe.max_steps * objective->samples_per_step(), " samples in ", recipe.max_steps,
                               " steps"));
    notes.output = recipe.output.string();
    return notes;
  }
  const auto resume = checkpoint_to_resume(options, recipe.output, notes);
  check<UsageError>(
      resume || options.overwrite || options.resume == "auto" || !fs::exists(recipe.output / "metrics.jsonl"),
      "[train] ", recipe.output.string(), " already holds a run: give --resume auto, --overwrite or another --output");
  std::error_code error;
  fs::create_directories(recipe.output, error);
  check<Error>(!error && fs::is_directory(recipe.output), "[train] cannot make the run folder '",
               recipe.output.string(), "': ", error ? error.message() : "a file of that name is there");
  if (!resume) fs::remove(recipe.output / "metrics.jsonl");
  auto result = train_objective(*objective, recipe, resume, config.to_toml(), on_event);
  result.parameters_total = parameters;
  result.notes = std::move(notes.notes);
  return result;
}

}  // namespace polyphony::pipelines
