// SPDX-License-Identifier: Apache-2.0
// polyphony inspect: what is in a folder or file.
#include "pipelines/inspect/inspect.h"

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/options.h"
#include "core/check.h"
#include "pipelines/routers.h"

namespace polyphony::cli {
namespace {

struct Options {
  std::string path;
  bool routers = false, experts = false, losses = false;
};

ExitCode show(const std::vector<pipelines::RouterRow>& rows, const std::string& what, Terminal& terminal) {
  terminal.result(to_text(rows));
  terminal.document(to_json(rows, what));
  return ExitCode::ok;
}

ExitCode run(const Options& options, Terminal& terminal) {
  if (options.routers) return show(pipelines::known_routers(), "routers", terminal);
  if (options.experts) return show(pipelines::known_experts(), "experts", terminal);
  if (options.losses) return show(pipelines::known_losses(), "losses", terminal);
  const auto path = options.path.empty() ? pipelines::default_model_folder() : input_file(options.path);
  const auto inspection = pipelines::inspect(path);
  terminal.result(to_text(inspection));
  terminal.document(to_json(inspection));
  check<DataError>(inspection.non_finite == 0, "[inspect] '", path, "' holds ", inspection.non_finite,
                   " values that are NaN or infinite");
  return ExitCode::ok;
}

}  // namespace

Run define_inspect(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<Options>();
  auto* path = app.add_option("PATH", options->path,
                              "Model folder, diffusers folder, .safetensors file, index or picture (default: the model "
                              "that ships); - reads standard input")
                   ->type_name("");
  auto* routers = app.add_flag("--routers", options->routers, "List the routers that a recipe can name");
  auto* experts = app.add_flag("--experts", options->experts, "List the kinds of experts");
  auto* losses = app.add_flag("--losses", options->losses, "List the losses that a recipe can name");
  routers->excludes(path)->excludes(experts)->excludes(losses);
  experts->excludes(path)->excludes(losses);
  losses->excludes(path);
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
