// SPDX-License-Identifier: Apache-2.0
// Writes with write(2), so that a full disk or a closed pipe is seen at the write that it spoils.
#include "apps/polyphony/terminal.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "apps/polyphony/progress_view.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::cli {
namespace {

int write_all_bytes(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

// Nowhere is left to complain about stderr.
void to_stderr(std::string line) {
  line += '\n';
  clear_progress_line();
  write_all_bytes(STDERR_FILENO, line);
}

}  // namespace

void Terminal::raw(std::string_view bytes) {
  clear_progress_line();
  const int reason = write_all_bytes(STDOUT_FILENO, bytes);
  check<Error>(reason == 0, "[stdout] cannot write: ", std::strerror(reason), " (errno ", reason, ")");
}

void Terminal::result(std::string_view line) {
  if (!options.json) raw(std::string(line) + "\n");
}

void Terminal::document(std::string_view json) {
  if (options.json) raw(std::string(json) + "\n");
}

void Terminal::note(std::string_view line) {
  if (!options.quiet) to_stderr(std::string(line));
}

void Terminal::detail(std::string_view line) {
  if (options.verbose) to_stderr(std::string(line));
}

void Terminal::warn(std::string_view line) { to_stderr("polyphony: warning: " + std::string(line)); }

void Terminal::error(const pipelines::ErrorReport& report) {
  to_stderr("polyphony: error: " + report.message);
  if (!report.hint.empty()) to_stderr("  try: " + report.hint);
  if (!options.json) return;
  const nlohmann::json document{{"error",
                                 {{"code", report.code},
                                  {"message", report.message},
                                  {"hint", report.hint},
                                  {"exit_code", static_cast<int>(report.exit_code)}}}};
  const auto text = document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  write_all_bytes(STDOUT_FILENO, text);
}

pipelines::OnProgress Terminal::progress() {
  auto view = std::make_shared<ProgressView>(options.quiet ? ProgressMode::none : options.progress);
  return [view](const pipelines::Progress& progress) {
    view->show(progress.task, progress.done, progress.total);
    return !signal_caught();
  };
}

}  // namespace polyphony::cli
