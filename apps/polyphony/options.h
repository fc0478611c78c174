// SPDX-License-Identifier: Apache-2.0
// Flags that several subcommands share, and strict readers for numbers.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/polyphony/terminal.h"
#include "pipelines/session.h"

namespace polyphony::cli {

struct IntegerFlag {
  std::string name;  // "--steps"
  std::string help;  // with unit and default
  int64_t low = 0;
  int64_t high = INT64_MAX;
};

// Decimal digits only: no blank, sign '+', exponent or 0x. CLI11 reports what is refused as a usage error.
CLI::Option* add_integer(CLI::App& app, const IntegerFlag& flag, std::optional<int64_t>& target);
CLI::Option* add_integer(CLI::App& app, const IntegerFlag& flag, int64_t& target);
CLI::Option* add_seed(CLI::App& app, const std::string& help, std::optional<uint64_t>& target);

struct NumberFlag {
  std::string name;
  std::string help;
  double low = 0;
  double high = 0;
};
CLI::Option* add_number(CLI::App& app, const NumberFlag& flag, std::optional<double>& target);

// A flag with a fixed set of words.
struct ChoiceFlag {
  std::string name;
  std::string help;
  std::vector<std::string> choices;
};
CLI::Option* add_choice(CLI::App& app, const ChoiceFlag& flag, std::string& target);

// --model, --device, --dtype, --threads
void add_session_options(CLI::App& app, pipelines::SessionOptions& options);
void add_device(CLI::App& app, std::string& device);
void add_threads(CLI::App& app, int64_t& threads);
// --json, --progress, --quiet, --verbose, --version
void add_terminal_options(CLI::App& app, Terminal& terminal);

std::string version_text();

}  // namespace polyphony::cli
