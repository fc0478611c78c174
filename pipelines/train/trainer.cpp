// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/check.h"
#include "core/tensor_io.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Matrix products in bf16 while it lives; weights stay f32.
class Bf16Region {
 public:
  explicit Bf16Region(bool on) : before_(at::autocast::is_autocast_enabled(at::kCPU)) {
    at::autocast::set_autocast_enabled(at::kCPU, on);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  }
  ~Bf16Region() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, before_);
  }
  Bf16Region(const Bf16Region&) = delete;
  Bf16Region& operator=(const Bf16Region&) = delete;

 private:
  bool before_;
};

struct Counters {
  int64_t step = 0;     // steps done
  int64_t skipped = 0;  // non-finite steps, in all
  double seconds = 0;   // of all runs
};

std::string state_json(const Counters& c, uint64_t seed) {
  return nlohmann::json{{"step", c.step}, {"skipped", c.skipped}, {"seconds", c.seconds}, {"seed", seed}}.dump(2) +
         "\n";
}

Counters counters_from(const Checkpoint& checkpoint, uint64_t seed) {
  const auto state = nlohmann::json::parse(checkpoint.state_json, nullptr, false);
  check<DataError>(state.is_object() && state.value("step", int64_t{-1}) == checkpoint.step,
                   "[train] state.json of the checkpoint does not belong to step ", checkpoint.step);
  check<DataError>(state.value("seed", seed) == seed, "[train] the checkpoint was made with seed ",
                   state.value("seed", uint64_t{0}), ", the recipe says ", seed);
  return {
      .step = checkpoint.step, .skipped = state.value("skipped", int64_t{0}), .seconds = state.value("seconds", 0.0)};
}

struct StepResult {
  double loss = 0, grad_norm = 0;
  std::map<std::string, at::Tensor> parts;
  std::string problem = {};  // where the forward pass met what is not finite
  bool finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }
};

StepResult forward_backward(Objective& objective, Optimizer& optimizer, int64_t step, bool bf16) {
  Loss loss;
  {
    const Bf16Region region(bf16);
    try {
      loss = objective.loss(step);
    } catch (const NonFiniteError& error) {
      const double nan = std::numeric_limits<double>::quiet_NaN();
      return {.loss = nan, .grad_norm = nan, .parts = {}, .problem = error.what()};
    }
  }
  loss.total.backward();
  return {.loss = loss.total.item<double>(), .grad_norm = optimizer.grad_norm(), .parts = std::move(loss.parts)};
}

}  // namespace

TrainResult train_objective(Objective& objective, const TrainRecipe& recipe, const std::optional<Checkpoint>& resume,
                            const std::string& recipe_toml, const OnTrainEvent& on_event) {
  auto& module = objective.module();
  module.train();
  auto optimizer_config = recipe.optimizer;
  optimizer_config.bf16_copies = recipe.bf16 && recipe.optimizer.bf16_copies;
  Optimizer optimizer(module, optimizer_config);
  Counters counters;
  if (resume) {
    counters = counters_from(*resume, recipe.seed);
    load_into(module, resume->weights, {});
    optimizer.load_state(resume->optimizer);
  }
  fs::create_directories(recipe.output);
  write_file_atomic(recipe.output / "recipe.toml", recipe_toml);
  RunLog log(recipe.output, counters.step);
  const auto checkpoints = recipe.output / "checkpoints";

  TrainResult result{.output = recipe.output.string()};
  const auto save = [&] {
    result.checkpoint = save_checkpoint(checkpoints,
                                        {.step = counters.step,
                                         .weights = state_of(module),
                                         .optimizer = optimizer.state(),
                                         .state_json = state_json(counters, recipe.seed)},
                                        recipe.save_total_limit)
                            .string();
  };
  const auto sample = [&] {
    optimizer.swap_ema();
    const Bf16Region region(recipe.bf16);
    if (const auto png = objective.sample_sheet(); !png.empty()) log.picture(counters.step, "samples", png);
    optimizer.swap_ema();
  };

  const auto start = Clock::now();
  const double earlier_seconds = counters.seconds;
  auto last_sample = start, last_log = start;
  int64_t bad_in_a_row = 0, last_logged = counters.step;
  bool stopped = false;
  while (counters.step < recipe.max_steps && !stopped) {
    const double rate = learning_rate(recipe.schedule, counters.step);
    const auto step = forward_backward(objective, optimizer, counters.step, recipe.bf16);
    if (step.finite()) {
      optimizer.step(rate, step.grad_norm);
      bad_in_a_row = 0;
    } else {
      optimizer.zero_grad();  // the update is dropped, the schedule goes on
      ++counters.skipped;
      check<NonFiniteError>(++bad_in_a_row <= recipe.max_skipped_steps, "[train] the loss was not finite for ",
                            bad_in_a_row, " steps in a row, last at step ", counters.step,
                            step.problem.empty() ? "" : ": " + step.problem);
    }
    ++counters.step;
    result.final_loss = step.loss;
    counters.seconds = earlier_seconds + seconds_since(start);

    const bool last = counters.step == recipe.max_steps;
    if (counters.step % recipe.logging_steps == 0 || last) {
      const double per_second =
          static_cast<double>((counters.step - last_logged) * objective.samples_per_step()) / seconds_since(last_log);
      last_log = Clock::now();
      last_logged = counters.step;
      auto values = objective.statistics();
      for (const auto& [name, value] : step.parts) values["loss/" + name] = value.item<double>();
      values["loss"] = step.loss;
      values["grad_norm"] = step.grad_norm;
      values["learning_rate"] = rate;
      values["samples_per_second"] = per_second;
      values["skipped_steps"] = static_cast<double>(counters.skipped);
      values["seconds"] = counters.seconds;
      log.scalars(counters.step, values);
      stopped = on_event && !on_event({.step = counters.step,
                                       .total_steps = recipe.max_steps,
                                       .loss = step.loss,
                                       .learning_rate = rate,
                                       .samples_per_second = per_second});
    }
    if (recipe.sample_minutes > 0 && seconds_since(last_sample) > 60 * recipe.sample_minutes) {
      sample();
      last_sample = Clock::now();
    }
    if (counters.step % recipe.save_steps == 0 || last || stopped) save();
  }
  if (!stopped) {
    if (recipe.sample_minutes > 0) sample();
    optimizer.swap_ema();
    const auto folder = recipe.output / "model";
    objective.export_model(folder);
    optimizer.swap_ema();
    result.model_folder = folder.string();
  }
  result.stopped = stopped && counters.step < recipe.max_steps;
  result.steps = counters.step;
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace polyphony::pipelines
