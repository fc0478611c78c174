// SPDX-License-Identifier: Apache-2.0
// A bar with rate and time left, drawn at most ten times a second.
#include "apps/polyphony/progress_view.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/text.h"

namespace polyphony::cli {
namespace {

bool line_is_drawn = false;  // the screen is one for the whole process

void put(const std::string& text) {
  // A lost progress line harms nothing.
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

}  // namespace

void clear_progress_line() {
  if (!line_is_drawn) return;
  put("\r\x1b[K");
  line_is_drawn = false;
}

ProgressView::ProgressView(ProgressMode mode) : mode_(mode) {
  if (mode_ == ProgressMode::automatic && !::isatty(STDERR_FILENO)) mode_ = ProgressMode::none;
}

ProgressView::~ProgressView() { clear_progress_line(); }

void ProgressView::show(const std::string& task, int64_t done, int64_t total, const std::string& extra) {
  if (mode_ == ProgressMode::none) return;
  const auto now = Clock::now();
  if (task != task_) {
    task_ = task;
    task_start_ = now;
    last_drawn_ = {};
  }
  const double seconds = std::chrono::duration<double>(now - task_start_).count();
  if (mode_ == ProgressMode::json) {
    const nlohmann::json event{
        {"event", "progress"}, {"task", task}, {"done", done}, {"total", total}, {"seconds", seconds}};
    put(event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return;
  }
  if (done < total && now - last_drawn_ < std::chrono::milliseconds(100)) return;
  last_drawn_ = now;
  constexpr int kWidth = 28;
  const int filled = total > 0 ? static_cast<int>(kWidth * done / total) : 0;
  std::string line = "\r" + task + " [" + std::string(static_cast<size_t>(filled), '#') +
                     std::string(static_cast<size_t>(kWidth - filled), '.') + "] " + std::to_string(done) + "/" +
                     std::to_string(total);
  if (done > 0 && done < total) line += "  " + human_duration(seconds / done * (total - done)) + " left";
  if (!extra.empty()) line += "  " + extra;
  put(line + "\x1b[K");
  line_is_drawn = true;
}

}  // namespace polyphony::cli
