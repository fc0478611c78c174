// SPDX-License-Identifier: Apache-2.0
// Shared flags; every number is read whole or refused.
#include "apps/polyphony/options.h"

#include <charconv>

#include "core/base/cpu_level.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::cli {
namespace {

constexpr const char* kRunGroup = "Running";
constexpr const char* kOutputGroup = "Output";

[[noreturn]] void refuse(const std::string& name, const std::string& expected, const std::string& got) {
  throw CLI::ValidationError(name, "expected " + expected + ", got '" + printable(got, 60) + "'");
}

template <class Target>
CLI::Option* add_integer_to(CLI::App& app, const IntegerFlag& flag, Target& target) {
  const auto read = [flag, &target](const std::string& text) {
    const auto value = parse_integer(text);
    const bool plain = value && text.front() != '+';
    if (!plain || *value < flag.low || *value > flag.high)
      refuse(flag.name,
             flag.high == INT64_MAX
                 ? "an integer from " + std::to_string(flag.low)
                 : "an integer from " + std::to_string(flag.low) + " to " + std::to_string(flag.high),
             text);
    target = *value;
  };
  return app.add_option_function<std::string>(flag.name, read, flag.help)->type_name("N");
}

}  // namespace

CLI::Option* add_integer(CLI::App& app, const IntegerFlag& flag, std::optional<int64_t>& target) {
  return add_integer_to(app, flag, target);
}

CLI::Option* add_integer(CLI::App& app, const IntegerFlag& flag, int64_t& target) {
  return add_integer_to(app, flag, target);
}

CLI::Option* add_seed(CLI::App& app, const std::string& help, std::optional<uint64_t>& target) {
  const auto read = [&target](const std::string& text) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      refuse("--seed", "an integer from 0 to 18446744073709551615", text);
    target = value;
  };
  return app.add_option_function<std::string>("--seed", read, help)->type_name("N");
}

CLI::Option* add_number(CLI::App& app, const NumberFlag& flag, std::optional<double>& target) {
  const auto read = [flag, &target](const std::string& text) {
    const auto value = parse_number(text);
    if (!value || !(*value >= flag.low && *value <= flag.high))
      refuse(flag.name, "a number from " + format_number(flag.low) + " to " + format_number(flag.high), text);
    target = *value;
  };
  return app.add_option_function<std::string>(flag.name, read, flag.help)->type_name("X");
}

CLI::Option* add_choice(CLI::App& app, const ChoiceFlag& flag, std::string& target) {
  const auto read = [flag, &target](const std::string& text) {
    if (std::find(flag.choices.begin(), flag.choices.end(), text) == flag.choices.end())
      refuse(flag.name, "one of " + join_names(flag.choices), text);
    target = text;
  };
  std::string words;
  for (const auto& choice : flag.choices) words += (words.empty() ? "" : "|") + choice;
  return app.add_option_function<std::string>(flag.name, read, flag.help)->type_name(words);
}

void add_device(CLI::App& app, std::string& device) {
  const auto read = [&device](const std::string& text) {
    const bool numbered = text.rfind("cuda:", 0) == 0 && parse_integer(text.substr(5)).value_or(-1) >= 0;
    if (text != "auto" && text != "cpu" && text != "cuda" && !numbered)
      refuse("--device", "auto, cpu, cuda or cuda:N", text);
    device = text;
  };
  app.add_option_function<std::string>("--device", read,
                                       "Where to compute; auto takes a GPU that works (default: auto)")
      ->type_name("auto|cpu|cuda|cuda:N")
      ->group(kRunGroup);
}

void add_threads(CLI::App& app, int64_t& threads) {
  add_integer(app, {"--threads", "CPU threads; pictures and captions do not depend on it (default: all)", 1, 4096},
              threads)
      ->group(kRunGroup);
}

void add_session_options(CLI::App& app, pipelines::SessionOptions& options) {
  app.add_option("--model", options.model_folder, "Model folder (default: $POLYPHONY_MODEL, else the one that ships)")
      ->type_name("FOLDER")
      ->group(kRunGroup);
  add_device(app, options.device);
  add_choice(app, {"--dtype", "Number format of the computation (default: auto)", {"auto", "float32", "bfloat16"}},
             options.dtype)
      ->group(kRunGroup);
  add_threads(app, options.threads);
}

void add_terminal_options(CLI::App& app, Terminal& terminal) {
  auto& options = terminal.options;
  app.add_flag("--json", options.json, "Exactly one JSON document on stdout, also for an error")->group(kOutputGroup);
  add_choice(app,
             {"--progress", "On stderr: a bar on a terminal, or JSON lines (default: auto)", {"auto", "json", "none"}},
             options.progress)
      ->group(kOutputGroup);
  app.add_flag("-q,--quiet", options.quiet, "Only warnings and errors on stderr")->group(kOutputGroup);
  app.add_flag("-v,--verbose", options.verbose, "More on stderr")->group(kOutputGroup);
  app.set_help_flag("-h,--help", "Show this help")->group(kOutputGroup);
  app.set_version_flag("--version", &version_text, "Show the version")->group(kOutputGroup);
}

std::string version_text() {
  return "polyphony " POLYPHONY_VERSION ", processor level " + std::string(to_string(cpu_level()));
}

}  // namespace polyphony::cli
