// SPDX-License-Identifier: Apache-2.0
// The two streams: results on stdout, everything else on stderr, and nothing lost in silence.
#pragma once
#include <string>
#include <string_view>

#include "core/base/progress.h"
#include "pipelines/session.h"

namespace polyphony::cli {

struct TerminalOptions {
  bool json = false;   // exactly one JSON document on stdout
  bool quiet = false;  // warnings and errors only
  bool verbose = false;
  std::string progress = "auto";  // auto | json | none
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
  // The style that the options ask for.
  ProgressStyle progress_style() const;
};

// Keeps closed standard streams from being taken by the next opened file. Before anything else.
void keep_standard_streams();

}  // namespace polyphony::cli
