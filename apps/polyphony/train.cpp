// SPDX-License-Identifier: Apache-2.0
// polyphony train: a recipe to a model folder.
#include "pipelines/train/train.h"

#include <cstdio>
#include <optional>

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/options.h"
#include "core/base/signals.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

ExitCode run(const TrainOptions& options, Terminal& terminal) {
  check_input(options.recipe);
  std::optional<polyphony::Progress> bar;
  const auto result = run_training(options, [&](const TrainEvent& event) {
    char extra[120];
    std::snprintf(extra, sizeof(extra), "loss %.4f, lr %.2e, %.1f samples/s", event.loss, event.learning_rate,
                  event.samples_per_second);
    // The first event says where a resumed run goes on.
    if (!bar)
      bar.emplace(ProgressOptions{.task = "train",
                                  .total = event.total_steps,
                                  .start = event.step,
                                  .unit = "step",
                                  .style = terminal.progress_style()});
    bar->update(event.step, extra);
    return interrupted() == 0;
  });
  for (const auto& note : result.notes) terminal.note(note);
  if (options.dry_run) {
    terminal.document(to_json(result));
    return ExitCode::ok;
  }
  char line[160];
  std::snprintf(line, sizeof(line), "%s after %lld steps, loss %.6f, %.1f s", result.stopped ? "stopped" : "finished",
                static_cast<long long>(result.steps), result.final_loss, result.seconds);
  terminal.result(line);
  if (!result.checkpoint.empty()) terminal.result("checkpoint " + result.checkpoint);
  if (!result.model_folder.empty()) terminal.result("model " + result.model_folder);
  terminal.document(to_json(result));
  throw_if_interrupted();
  return ExitCode::ok;
}

}  // namespace

Run define_train(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<TrainOptions>();
  app.add_option("RECIPE", options->recipe, "TOML file, see configs/")->type_name("")->required()->group("Training");
  app.add_option("-o,--output", options->output, "Run folder (default: the recipe's)")
      ->type_name("DIR")
      ->group("Training");
  auto* resume =
      app.add_option("--resume", options->resume, "auto: the newest checkpoint of the run folder; or its path")
          ->type_name("auto|PATH")
          ->group("Training");
  app.add_option("--init-from", options->init_from, "Start from these exported weights with a fresh optimiser")
      ->type_name("FOLDER")
      ->excludes(resume)
      ->group("Training");
  app.add_option("--set", options->set, "Override one key of the recipe; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all()
      ->group("Training");
  app.add_flag("--dry-run", options->dry_run, "Build everything, report sizes, train no step")->group("Training");
  app.add_flag("--overwrite", options->overwrite, "Start anew in a folder that holds a run")
      ->excludes(resume)
      ->group("Training");
  add_device(app, options->device);
  add_choice(app, {"--dtype", "Number format (default: the recipe's)", {"float32", "bfloat16"}}, options->dtype)
      ->group("Running");
  add_threads(app, options->threads);
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
