// SPDX-License-Identifier: Apache-2.0
// polyphony generate: text to picture.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/options.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

struct Options {
  std::string prompt;
  std::string from_image;
  std::string output;
  std::optional<int64_t> steps;
  std::optional<double> guidance;
  std::optional<uint64_t> seed;
  int64_t count = 1;
  bool overwrite = false;
  SessionOptions session;
};

GenerateRequest build_request(const Options& options) {
  check<UsageError>(!options.prompt.empty() || !options.from_image.empty(),
                    "[generate] --prompt or --from-image is required");
  GenerateRequest request;
  if (!options.from_image.empty()) request = request_from_picture(input_file(options.from_image));
  if (!options.prompt.empty()) request.prompt = read_text_argument(options.prompt);
  if (options.steps) request.steps = options.steps;
  if (options.guidance) request.guidance = options.guidance;
  if (options.seed) request.seed = options.seed;
  request.count = options.count;
  check_request(request);
  return request;
}

void save(const GenerateResult& result, const std::vector<std::string>& files, bool overwrite, Terminal& terminal) {
  if (files.front() == "-") return terminal.raw(encode_picture(result.pictures.front()));
  for (size_t i = 0; i < files.size(); ++i)
    save_picture(result.pictures[i], {.file = files[i], .overwrite = overwrite});
}

void report(const GenerateResult& result, const std::vector<std::string>& files, Terminal& terminal) {
  for (const auto& warning : result.warnings) terminal.warn(warning);
  char line[200];
  std::snprintf(line, sizeof(line), "%zu picture%s in %.2f s, %.3f s a step, %lld steps, guidance %g, %s %s",
                result.pictures.size(), result.pictures.size() == 1 ? "" : "s", result.seconds, result.seconds_per_step,
                static_cast<long long>(result.used.steps.value_or(0)), result.used.guidance.value_or(0),
                result.device.c_str(), result.dtype.c_str());
  terminal.note(line);
  auto document = nlohmann::json::parse(to_json(result));
  for (size_t i = 0; i < files.size(); ++i) {
    document["pictures"][i]["file"] = to_utf8(files[i]);
    if (files[i] != "-") terminal.result(files[i] + "  seed " + std::to_string(result.pictures[i].seed));
  }
  terminal.document(document.dump());
}

ExitCode run_generate(const Options& options, Terminal& terminal) {
  const bool to_stdout = options.output == "-";
  check<UsageError>(!to_stdout || !terminal.options.json, "[generate] --output - and --json both want stdout");
  check<UsageError>(!to_stdout || options.count == 1, "[generate] --output - takes one picture, got --count ",
                    options.count);
  const auto request = build_request(options);
  const auto files = numbered_files(options.output, request.count);
  check_outputs({.files = files, .overwrite = options.overwrite});
  const auto session = open_session(options.session);
  const auto result = session->generate(request, terminal.progress());
  check<CancelledError>(result.has_value(), "[generate] stopped by a signal; no file was written");
  save(*result, files, options.overwrite, terminal);
  report(*result, files, terminal);
  return ExitCode::ok;
}

}  // namespace

Run define_generate(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<Options>();
  app.add_option("-p,--prompt", options->prompt, "What to draw; - reads standard input, @FILE reads a file")
      ->type_name("TEXT")
      ->group("Picture");
  app.add_option("-o,--output", options->output,
                 "PNG file; several pictures are numbered NAME-1.png ...; - is standard output")
      ->type_name("FILE")
      ->required()
      ->group("Picture");
  add_integer(app, {"--steps", "Denoising steps (default: the model's own)", 1, kMaxSteps}, options->steps)
      ->group("Picture");
  add_number(
      app,
      {"--guidance", "How closely to follow the text, 1 = no guidance (default: the model's own)", 0, kMaxGuidance},
      options->guidance)
      ->group("Picture");
  add_seed(app, "Of the first picture; the others count up from it (default: random, shown)", options->seed)
      ->group("Picture");
  add_integer(app, {"--count", "Pictures (default: 1)", 1, kMaxCount}, options->count)->group("Picture");
  app.add_option("--from-image", options->from_image,
                 "Repeat the parameters inside this PNG; other flags override them; - reads standard input")
      ->type_name("PNG")
      ->group("Picture");
  app.add_flag("--overwrite", options->overwrite, "Replace files that are there already")->group("Picture");
  add_session_options(app, options->session);
  return [options, &terminal] { return run_generate(*options, terminal); };
}

}  // namespace polyphony::cli
