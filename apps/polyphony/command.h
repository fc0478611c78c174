// SPDX-License-Identifier: Apache-2.0
// A subcommand: its name, its help, and a function that declares its flags and returns what runs it.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <span>

#include "apps/polyphony/terminal.h"
#include "core/error.h"

namespace polyphony::cli {

// Runs after the flags were parsed. Errors are thrown; the code says ok or partial.
using Run = std::function<ExitCode()>;

struct Command {
  const char* name;
  const char* summary;   // one line
  const char* examples;  // at the end of its help
  Run (*define)(CLI::App& app, Terminal& terminal);
};

// In the order in which help lists them. To add one: a file, a declaration and a row in commands.cpp.
std::span<const Command> commands();

// Declares every subcommand under `app`; the returned function runs the one that was parsed.
Run define_commands(CLI::App& app, Terminal& terminal);

}  // namespace polyphony::cli
