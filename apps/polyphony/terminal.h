// SPDX-License-Identifier: Apache-2.0
// The two streams: results on stdout, everything else on stderr, and nothing lost in silence.
#pragma once
#include <string>
#include <string_view>

#include "pipelines/session.h"

namespace polyphony::cli {

enum class ProgressMode { automatic, json, none };

struct TerminalOptions {
  bool json = false;   // exactly one JSON document on stdout
  bool quiet = false;  // warnings and errors only
  bool verbose = false;
  ProgressMode progress = ProgressMode::automatic;  // a bar on a terminal, else nothing
};

class Terminal {
 public:
  TerminalOptions options;

  // Result text for people: stdout unless --json.
  void result(std::string_view line);
  // The one document of --json; nothing without it.
  void document(std::string_view json);
  // Bytes to stdout (help, a picture, a script). Throws Error with the system's reason.
  void raw(std::string_view bytes);
  void note(std::string_view line);    // stderr, unless --quiet
  void detail(std::string_view line);  // stderr, with --verbose
  void warn(std::string_view line);    // stderr
  void error(const pipelines::ErrorReport& report);

  // Shows progress as asked for and stops the work when a signal has come.
  pipelines::OnProgress progress();
};

// Exit code of a signal that stopped the work, or ok.
ExitCode signal_exit_code();
bool signal_caught();

// From now on SIGINT and SIGTERM end the process at once with 130 and 143, except while a GracefulStop lives:
// then the first one only sets signal_caught(). SIGPIPE becomes a write error. Closed standard streams are kept from
// being taken by the next opened file.
void prepare_process();

class GracefulStop {
 public:
  GracefulStop();
  ~GracefulStop();
  GracefulStop(const GracefulStop&) = delete;
  GracefulStop& operator=(const GracefulStop&) = delete;
};

}  // namespace polyphony::cli
