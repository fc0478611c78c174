// SPDX-License-Identifier: Apache-2.0
// polyphony convert: released weights to a model folder.
#include "pipelines/convert/convert.h"

#include <cstdio>

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/options.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/convert/quantize_olmoe.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

struct Options {
  ConvertOptions convert;
  std::string quantize;  // int8, int4, or empty
};

ExitCode run_quantize(const Options& options, Terminal& terminal) {
  const auto& [input, preset, config, mode, vae, labels, output] = options.convert;
  for (const auto& [flag, value] :
       {std::pair{"--mode", mode}, {"--preset", preset}, {"--config", config}, {"--vae", vae}, {"--labels", labels}})
    check<UsageError>(value.empty(), "[convert] ", flag,
                      " does not go with --quantize, which keeps the model as it is");
  const auto report =
      quantize_olmoe({.input = input, .format = options.quantize, .output = output}, terminal.progress());
  for (const auto& note : report.notes) terminal.warn(note);
  char line[160];
  std::snprintf(line, sizeof(line), "  %s from %s; logits: KL %.3g nats, relative error %.3g (bf16: %.3g, %.3g)",
                human_bytes(report.bytes_after).c_str(), human_bytes(report.bytes_before).c_str(), report.logit_kl,
                report.logit_error, report.bf16_kl, report.bf16_error);
  terminal.result(report.output + line);
  terminal.document(to_json(report));
  return ExitCode::ok;
}

ExitCode run(const Options& both, Terminal& terminal) {
  if (!both.quantize.empty()) return run_quantize(both, terminal);
  const auto& options = both.convert;
  check<UsageError>(!options.mode.empty(), "[convert] --mode is required");
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
  const auto all = std::make_shared<Options>();
  auto* options = &all->convert;
  app.add_option(
         "INPUT", options->input,
         "Weights with DiT-MoE's published names: .pt or .bin of PyTorch (read, never run), or .safetensors; or "
         "the folder of an OLMoE, with --quantize")
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
  add_choice(app, {"--mode", "How a DiT-MoE was trained, which no file tells", {"rf", "ddpm"}}, options->mode)
      ->group("Model");
  add_choice(app, {"--quantize", "Make a folder with weights of 8 or 4 bits of an OLMoE's", {"int8", "int4"}},
             all->quantize)
      ->group("Model");
  app.add_option("--vae", options->vae,
                 "Its autoencoder: a folder with config.json and .safetensors or .bin (default: none, only latents)")
      ->type_name("FOLDER")
      ->group("Model");
  app.add_option("--labels", options->labels,
                 "Names of the classes: a JSON object such as {\"207\": \"golden retriever\"}")
      ->type_name("FILE")
      ->group("Model");
  app.add_option("-o,--output", options->output, "The model folder to make")
      ->type_name("FOLDER")
      ->required()
      ->group("Model");
  return [all, &terminal] { return run(*all, terminal); };
}

}  // namespace polyphony::cli
