// SPDX-License-Identifier: Apache-2.0
// polyphony: parse, run one subcommand, and turn whatever happens into a message and an exit code.
#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "apps/polyphony/command.h"
#include "apps/polyphony/options.h"
#include "core/base/cpu_level.h"
#include "core/base/signals.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/torch_errors.h"

namespace polyphony::cli {
namespace {

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const auto& command : commands()) names.push_back(command.name);
  return names;
}

std::vector<std::string> long_flags(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* option : app.get_options())
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

const CLI::App& parsed_command(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : *parsed.front();
}

std::vector<std::string> unplaced_words(const CLI::App& app) {
  const auto words = parsed_command(app).remaining();
  return words.empty() ? app.remaining() : words;
}

// A word without a place explains more than what is missing because of it; the nearest known word explains it.
[[noreturn]] void refuse_words(const CLI::App& app, const std::vector<std::string>& words) {
  const auto& command = parsed_command(app);
  const auto word = words.front();
  const auto name = word.substr(0, word.find('='));
  if (word.size() > 1 && word.front() == '-')
    fail<UsageError>("[", command.get_name(), "] unknown flag '", printable(name), "'",
                     did_you_mean(name, long_flags(command)));
  if (&command == &app)
    fail<UsageError>("[polyphony] unknown subcommand '", printable(name), "'", did_you_mean(name, command_names()));
  fail<UsageError>("[", command.get_name(), "] did not expect '", printable(word), "'");
}

// False when the help or version was all that was asked for.
bool parse(CLI::App& app, int argc, char** argv, Terminal& terminal) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::CallForHelp&) {
    const auto& command = parsed_command(app);
    terminal.raw(&command == &app ? app.help() : command.help("polyphony"));
  } catch (const CLI::CallForVersion&) {
    terminal.raw(version_text() + "\n");
  } catch (const CLI::ParseError& error) {
    if (const auto words = unplaced_words(app); !words.empty()) refuse_words(app, words);
    if (argc < 2) terminal.note(app.help());
    fail<UsageError>("[", parsed_command(app).get_name(), "] ", error.what());
  }
  return false;
}

ExitCode run(int argc, char** argv, Terminal& terminal) {
  // The word decides how errors are shown, so it counts before the parse that may fail.
  terminal.options.json = std::any_of(argv, argv + argc, [](const std::string& word) { return word == "--json"; });
  CLI::App app("Polyphony draws pictures from words and says in words what pictures show.", "polyphony");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  add_terminal_options(app, terminal);
  app.footer("\n'polyphony help SUBCOMMAND' shows flags, defaults and examples. Exit codes: docs/cli.md.");
  const auto run_parsed = define_commands(app, terminal);
  if (!parse(app, argc, argv, terminal)) return ExitCode::ok;
  cpu_level();  // a wrong POLYPHONY_CPU_LEVEL is told before work begins
  return pipelines::translate_torch_errors(run_parsed);
}

ExitCode run_guarded(int argc, char** argv) {
  Terminal terminal;
  try {
    return run(argc, argv, terminal);
  } catch (...) {
    auto report = pipelines::report_error(std::current_exception());
    if (report.code == "cancelled" && interrupted()) report.exit_code = static_cast<ExitCode>(128 + interrupted());
    if (report.exit_code == ExitCode::usage && report.hint.empty()) report.hint = "polyphony help";
    terminal.error(report);
    return report.exit_code;
  }
}

}  // namespace
}  // namespace polyphony::cli

int main(int argc, char** argv) {
  polyphony::cli::keep_standard_streams();
  polyphony::install_signal_handlers();
  return static_cast<int>(polyphony::cli::run_guarded(argc, argv));
}
