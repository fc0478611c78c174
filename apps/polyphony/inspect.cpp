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
  bool routers = false;
};

ExitCode show_routers(Terminal& terminal) {
  const auto routers = pipelines::known_routers();
  terminal.result(to_text(routers));
  terminal.document(to_json(routers));
  return ExitCode::ok;
}

ExitCode run(const Options& options, Terminal& terminal) {
  if (options.routers) return show_routers(terminal);
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
  app.add_flag("--routers", options->routers, "List the routers that a recipe can name")->excludes(path);
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
