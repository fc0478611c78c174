// SPDX-License-Identifier: Apache-2.0
// polyphony eval: the shares of right captions and right pictures.
#include "pipelines/eval/eval.h"

#include <cstdio>

#include "apps/polyphony/command.h"
#include "apps/polyphony/options.h"
#include "core/check.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

struct Options {
  EvalOptions eval;
  std::optional<uint64_t> seed;
};

void report(const EvalReport& report, Terminal& terminal) {
  const auto row = [&](const char* name, double share) {
    char line[80];
    std::snprintf(line, sizeof(line), "%-22s %6.1f %%", name, 100 * share);
    terminal.result(line);
  };
  row("caption exact", report.caption_exact);
  row("picture right", report.picture_right);
  row("  with sizes", report.picture_right_sizes);
  row("background right", report.background_right);
  char line[160];
  std::snprintf(line, sizeof(line), "%lld held-out scenes, seed %llu, %lld steps, guidance %g, %.1f s (%s %s)",
                static_cast<long long>(report.count), static_cast<unsigned long long>(report.seed),
                static_cast<long long>(report.steps), report.guidance, report.seconds, report.device.c_str(),
                report.dtype.c_str());
  terminal.note(line);
  for (const auto& note : report.notes) terminal.note(note);
}

ExitCode run(const Options& options, Terminal& terminal) {
  auto eval = options.eval;
  eval.seed = options.seed.value_or(eval.seed);
  const auto result = run_eval(eval, terminal.progress());
  check<CancelledError>(result.has_value(), "[eval] stopped by a signal");
  report(*result, terminal);
  terminal.document(to_json(*result));
  return ExitCode::ok;
}

}  // namespace

Run define_eval(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<Options>();
  auto& eval = options->eval;
  add_integer(app, {"--count", "Scenes (default: 60)", 1, 100000}, eval.count)->group("Evaluation");
  add_seed(app, "Of the scenes (default: 0)", options->seed)->group("Evaluation");
  add_integer(app, {"--steps", "Denoising steps (default: the model's own)", 1, kMaxSteps}, eval.steps)
      ->group("Evaluation");
  add_number(app, {"--guidance", "Guidance scale (default: the model's own)", 0, kMaxGuidance}, eval.guidance)
      ->group("Evaluation");
  app.add_option("--samples", eval.samples,
                 "Also write pictures, prompts, failures and why, and shares by attribute here")
      ->type_name("DIR")
      ->group("Evaluation");
  app.add_option("--experts", eval.experts, "Also write the load of experts by modality, step and place here")
      ->type_name("DIR")
      ->group("Evaluation");
  add_session_options(app, eval.session);
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
