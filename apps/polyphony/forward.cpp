// SPDX-License-Identifier: Apache-2.0
// polyphony forward: one pass over named tensors.
#include "pipelines/forward/forward.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/options.h"
#include "core/check.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

struct Options {
  ForwardOptions forward;
  bool list = false;
  bool overwrite = false;
};

ExitCode show_kinds(Terminal& terminal) {
  auto kinds = nlohmann::json::array();
  for (const auto& kind : forward_kinds()) {
    terminal.result(kind.architecture + ": " + kind.inputs + " -> " + kind.outputs);
    kinds.push_back({{"architecture", kind.architecture}, {"inputs", kind.inputs}, {"outputs", kind.outputs}});
  }
  terminal.document(nlohmann::json{{"schema", "polyphony.forward/1"}, {"models", kinds}}.dump());
  return ExitCode::ok;
}

std::string shape_text(const ForwardTensor& tensor) {
  std::string text = tensor.name + " " + tensor.dtype + " (";
  for (size_t i = 0; i < tensor.shape.size(); ++i) text += (i ? ", " : "") + std::to_string(tensor.shape[i]);
  return text + ")";
}

ExitCode run(const Options& options, Terminal& terminal) {
  if (options.list) return show_kinds(terminal);
  const auto& forward = options.forward;
  for (const auto& [flag, value] :
       {std::pair{"--model", forward.model}, {"--input", forward.input}, {"--output", forward.output}})
    check<UsageError>(!value.empty(), "[forward] ", flag, " is required");
  check_outputs({.files = {forward.output}, .overwrite = options.overwrite});
  check_input(forward.input);
  const auto report = run_forward(forward);
  for (const auto& tensor : report.outputs) terminal.result(shape_text(tensor));
  char line[80];
  std::snprintf(line, sizeof(line), "%s in %.3f s", report.architecture.c_str(), report.seconds);
  terminal.note(line);
  terminal.document(to_json(report));
  return ExitCode::ok;
}

}  // namespace

Run define_forward(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<Options>();
  auto& forward = options->forward;
  app.add_option("--model", forward.model, "Folder with config.json and weights")
      ->type_name("FOLDER")
      ->group("Tensors");
  app.add_option("--input", forward.input, "Named inputs")->type_name("SAFETENSORS")->group("Tensors");
  app.add_option("--output", forward.output, "Named outputs")->type_name("SAFETENSORS")->group("Tensors");
  app.add_flag("--overwrite", options->overwrite, "Replace the output if it is there already")->group("Tensors");
  app.add_flag("--list", options->list, "List the models that can run, with their inputs and outputs")
      ->group("Tensors");
  add_choice(app, {"--dtype", "Of weights and floating inputs (default: float32)", {"float32", "bfloat16"}},
             forward.dtype)
      ->group("Running");
  add_device(app, forward.device);
  add_threads(app, forward.threads);
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
