// SPDX-License-Identifier: Apache-2.0
// Writes with write(2), so that a full disk or a closed pipe is seen at the write that it spoils.
#include "apps/polyphony/terminal.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/signals.h"
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
  write_all_bytes(STDERR_FILENO, line);
}

}  // namespace

void Terminal::raw(std::string_view bytes) {
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

ProgressStyle Terminal::progress_style() const {
  return options.quiet ? ProgressStyle::none : polyphony::progress_style(options.progress, options.verbose);
}

pipelines::OnProgress Terminal::progress() {
  // A request goes through several tasks (load, generate); each has its own bar.
  struct View {
    std::string task;
    std::optional<Progress> bar;
  };
  auto view = std::make_shared<View>();
  return [view, style = progress_style()](const pipelines::Progress& progress) {
    if (style != ProgressStyle::none && (progress.task != view->task || !view->bar)) {
      view->task = progress.task;
      view->bar.emplace(
          ProgressOptions{.task = progress.task, .total = progress.total, .unit = "step", .style = style});
    }
    if (view->bar) view->bar->update(progress.done);
    return interrupted() == 0;
  };
}

}  // namespace polyphony::cli
