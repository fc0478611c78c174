// SPDX-License-Identifier: Apache-2.0
// polyphony generate: text or class to picture or latents.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/options.h"
#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/safetensors.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

constexpr const char* kLatentsEnding = ".safetensors";

struct Options {
  std::optional<std::string> prompt;
  std::string class_label;
  std::string sampler;
  std::string size;
  std::string previews;
  std::string record_routing;
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
  check<UsageError>(options.prompt || !options.class_label.empty() || !options.from_image.empty(),
                    "[generate] --prompt, --class or --from-image is required");
  GenerateRequest request;
  if (!options.from_image.empty()) request = request_from_picture(input_file(options.from_image));
  if (options.prompt || !options.class_label.empty()) {
    request.prompt = options.prompt ? read_text_argument(*options.prompt) : "";
    request.class_label = options.class_label;
  }
  if (!options.sampler.empty()) request.sampler = options.sampler;
  if (options.steps) request.steps = options.steps;
  if (options.guidance) request.guidance = options.guidance;
  if (options.seed) request.seed = options.seed;
  request.count = options.count;
  request.record_routing = !options.record_routing.empty();
  request.every_preview = !options.previews.empty();
  check_request(request);
  return request;
}

bool wants_latents(const Options& options) { return options.output.ends_with(kLatentsEnding); }

// "256" or "256x256".
std::pair<int64_t, int64_t> parse_size(const std::string& text) {
  const auto parts = split(text, 'x');
  const auto width = parse_integer(parts.front()), height = parse_integer(parts.back());
  check<UsageError>(parts.size() <= 2 && width && height && *width > 0 && *height > 0,
                    "--size: expected WIDTHxHEIGHT in pixels, got '", printable(text, 40), "'");
  return {*width, *height};
}

// What this model cannot do is said before it starts.
void check_model(const Options& options, const ModelDescription& model) {
  const bool pictures = model.picture_width > 0;
  check<UsageError>(pictures || wants_latents(options), "[output] the model ", model.name,
                    " has no autoencoder and gives latents: --output must end in ", kLatentsEnding, ", got '",
                    printable(options.output), "'");
  check<UsageError>(!wants_latents(options) || model.num_classes > 0, "[output] the model ", model.name,
                    " gives pictures only: --output must name a PNG file");
  if (options.size.empty()) return;
  const auto [width, height] = parse_size(options.size);
  check<UsageError>(pictures, "[size] the model ", model.name, " gives latents, which have no size in pixels");
  check<UsageError>(width == model.picture_width && height == model.picture_height, "[size] the model ", model.name,
                    " draws ", model.picture_width, "x", model.picture_height, " and no other size, got ", width, "x",
                    height);
}

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

void save_latents(const GenerateResult& result, const std::string& file) {
  formats::write_safetensors(file,
                             {{.name = "latents",
                               .dtype = formats::DType::f32,
                               .shape = result.latents.shape,
                               .bytes = bytes_of(result.latents.values)}},
                             {{"polyphony", to_json(result.used)}});
}

void save_routing(const GenerateResult& result, const std::string& file) {
  const auto& r = result.routing;
  const auto steps = static_cast<int64_t>(r.timesteps.size());
  formats::write_safetensors(
      file,
      {{.name = "expert_ids", .dtype = formats::DType::i64, .shape = r.shape, .bytes = bytes_of(r.expert_ids)},
       {.name = "expert_weights", .dtype = formats::DType::f32, .shape = r.shape, .bytes = bytes_of(r.expert_weights)},
       {.name = "timesteps", .dtype = formats::DType::f32, .shape = {steps}, .bytes = bytes_of(r.timesteps)}},
      {{"polyphony", to_json(result.used)}});
}

void save(const GenerateResult& result, const Options& options, const std::vector<std::string>& files,
          Terminal& terminal) {
  if (!options.record_routing.empty()) save_routing(result, options.record_routing);
  if (wants_latents(options)) return save_latents(result, files.front());
  if (files.front() == "-") return terminal.raw(encode_picture(result.pictures.front()));
  for (size_t i = 0; i < files.size(); ++i)
    save_picture(result.pictures[i], {.file = files[i], .overwrite = options.overwrite});
}

std::string preview_file(const std::string& folder, int64_t step) {
  char name[32];
  std::snprintf(name, sizeof(name), "step-%03lld.png", static_cast<long long>(step));
  return (std::filesystem::path(folder) / name).string();
}

// Previews of another run would stand among those of this one.
void check_previews(const Options& options) {
  std::error_code absent;
  if (options.previews.empty() || options.overwrite) return;
  for (const auto& entry : std::filesystem::directory_iterator(options.previews, absent))
    check<UsageError>(!entry.path().filename().string().starts_with("step-"), "[previews] '",
                      printable(options.previews), "' holds previews already: use --overwrite or another folder");
}

// Shows progress, and keeps the preview of every step where that was asked for.
OnProgress watch(const Options& options, Terminal& terminal) {
  return [&options, show = terminal.progress()](const pipelines::Progress& progress) {
    if (!options.previews.empty() && progress.preview)
      write_file_atomic(preview_file(options.previews, progress.done - 1), encode_png(*progress.preview));
    return show(progress);
  };
}

void report(const GenerateResult& result, const Options& options, const std::vector<std::string>& files,
            Terminal& terminal) {
  for (const auto& warning : result.warnings) terminal.warn(warning);
  char line[200];
  const auto count = static_cast<long long>(result.used.count);
  std::snprintf(line, sizeof(line), "%lld picture%s in %.2f s, %.3f s a step, %lld steps, guidance %g, %s %s", count,
                count == 1 ? "" : "s", result.seconds, result.seconds_per_step,
                static_cast<long long>(result.used.steps.value_or(0)), result.used.guidance.value_or(0),
                result.device.c_str(), result.dtype.c_str());
  terminal.note(line);
  auto document = nlohmann::json::parse(to_json(result));
  for (size_t i = 0; i < files.size(); ++i) {
    if (!wants_latents(options)) document["pictures"][i]["file"] = to_utf8(files[i]);
    if (files[i] != "-") terminal.result(files[i] + "  seed " + std::to_string(*result.used.seed + i));
  }
  if (wants_latents(options)) document["latents"] = {{"file", to_utf8(files.front())}, {"shape", result.latents.shape}};
  if (!options.record_routing.empty()) {
    document["routing"] = {{"file", to_utf8(options.record_routing)}, {"shape", result.routing.shape}};
    terminal.result(options.record_routing + "  routing");
  }
  terminal.document(document.dump());
}

ExitCode run_generate(const Options& options, Terminal& terminal) {
  const bool to_stdout = options.output == "-";
  check<UsageError>(!to_stdout || !terminal.options.json, "[generate] --output - and --json both want stdout");
  check<UsageError>(!to_stdout || options.count == 1, "[generate] --output - takes one picture, got --count ",
                    options.count);
  const auto request = build_request(options);
  check<UsageError>(options.previews.empty() || options.count == 1, "[previews] expected one picture, got --count ",
                    options.count);
  // Latents of several pictures are one tensor, and one file.
  const auto files = numbered_files(options.output, wants_latents(options) ? 1 : request.count);
  check<UsageError>(std::ranges::find(files, options.record_routing) == files.end(),
                    "[record-routing] expected another file than --output, got '", printable(options.record_routing),
                    "'");
  check_previews(options);
  auto outputs = files;
  if (!options.record_routing.empty()) outputs.push_back(options.record_routing);
  if (!options.previews.empty()) outputs.push_back(preview_file(options.previews, 0));
  check_outputs({.files = outputs, .overwrite = options.overwrite});
  const auto session = open_session(options.session);
  check_model(options, session->describe());
  const auto result = session->generate(request, watch(options, terminal));
  check<CancelledError>(result.has_value(), "[generate] stopped by a signal; ",
                        options.previews.empty() ? "no file was written" : "previews were written, no picture");
  save(*result, options, files, terminal);
  report(*result, options, files, terminal);
  return ExitCode::ok;
}

}  // namespace

Run define_generate(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<Options>();
  app.add_option("-p,--prompt", options->prompt, "What to draw ('': anything); - reads standard input, @FILE a file")
      ->type_name("TEXT")
      ->group("Picture");
  app.add_option("-c,--class", options->class_label, "Which class to draw, for models of classes: a number or a name")
      ->type_name("N|NAME")
      ->group("Picture");
  app.add_option("-o,--output", options->output,
                 "PNG (several: NAME-1.png ...), or .safetensors for the latents of a class; - is standard output")
      ->type_name("FILE")
      ->required()
      ->group("Picture");
  add_integer(app, {"--steps", "Denoising steps (default: the model's own)", 1, kMaxSteps}, options->steps)
      ->group("Picture");
  add_choice(app,
             {"--sampler",
              "euler for rectified flow; ddpm, ddim, dpm++ for models trained with DDPM (default: the model's own)",
              {"euler", "ddpm", "ddim", "dpm++"}},
             options->sampler)
      ->group("Picture");
  app.add_option("--size", options->size, "Size of the picture; an error where the model draws another one")
      ->type_name("WxH")
      ->group("Picture");
  add_number(app,
             {"--guidance", "How closely to follow the text or class, 1 = no guidance (default: the model's own)", 0,
              kMaxGuidance},
             options->guidance)
      ->group("Picture");
  add_seed(app, "Of the first picture; the others count up from it (default: random, shown)", options->seed)
      ->group("Picture");
  add_integer(app, {"--count", "Pictures (default: 1)", 1, kMaxCount}, options->count)->group("Picture");
  app.add_option("--from-image", options->from_image,
                 "Repeat the parameters inside this PNG; other flags override them; - reads standard input")
      ->type_name("PNG")
      ->group("Picture");
  app.add_option("--previews", options->previews,
                 "Keep what each step takes the picture for, as step-000.png, step-001.png ... in this folder")
      ->type_name("DIR")
      ->group("Picture");
  app.add_option("--record-routing", options->record_routing,
                 "Keep which experts every patch went to, in this .safetensors file (see docs/dit_moe.md)")
      ->type_name("FILE")
      ->group("Picture");
  app.add_flag("--overwrite", options->overwrite, "Replace files that are there already")->group("Picture");
  add_session_options(app, options->session);
  return [options, &terminal] { return run_generate(*options, terminal); };
}

}  // namespace polyphony::cli
