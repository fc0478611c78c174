// SPDX-License-Identifier: Apache-2.0
// polyphony convert: released weights to a model folder.
#include "pipelines/convert/convert.h"

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/options.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

ExitCode run(const ConvertOptions& options, Terminal& terminal) {
  check_input(options.input);
  const auto report = run_convert(options, terminal.progress());
  for (const auto& note : report.notes) terminal.warn(note);
  terminal.result(report.output + "  " + std::to_string(report.parameters) + " parameters from " +
                  std::to_string(report.tensors) + " tensors (" + report.state_dict + ")");
  terminal.document(to_json(report));
  return ExitCode::ok;
}

}  // namespace

Run define_convert(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<ConvertOptions>();
  app.add_option("INPUT", options->input,
                 "Weights with DiT-MoE's published names: .pt or .bin of PyTorch (read, never run), or .safetensors")
      ->type_name("")
      ->required()
      ->group("Model");
  auto* preset = app.add_option("--preset", options->preset, "Size and experts: S/2-8E2A ... G/2-16E2A")
                     ->type_name("NAME")
                     ->group("Model");
  app.add_option("--config", options->config, "A config.json that describes another size, instead of --preset")
      ->type_name("FILE")
      ->excludes(preset)
      ->group("Model");
  add_choice(app, {"--mode", "How it was trained, which no file tells", {"rf", "ddpm"}}, options->mode)
      ->required()
      ->group("Model");
  app.add_option("--vae", options->vae,
                 "Its autoencoder: a folder with config.json and .safetensors or .bin (default: none, only latents)")
      ->type_name("FOLDER")
      ->group("Model");
  app.add_option("--labels", options->labels,
                 "Names of the classes: a JSON object such as {\"207\": \"golden retriever\"}")
      ->type_name("FILE")
      ->group("Model");
  app.add_option("-o,--output", options->output, "The model folder to make, in the layout of diffusers")
      ->type_name("FOLDER")
      ->required()
      ->group("Model");
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
