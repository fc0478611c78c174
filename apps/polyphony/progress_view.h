// SPDX-License-Identifier: Apache-2.0
// How far the work is, on stderr: a bar on a terminal, or one JSON line an event.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "apps/polyphony/terminal.h"

namespace polyphony::cli {

class ProgressView {
 public:
  explicit ProgressView(ProgressMode mode);
  ~ProgressView();
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  void show(const std::string& task, int64_t done, int64_t total, const std::string& extra = {});

 private:
  using Clock = std::chrono::steady_clock;
  ProgressMode mode_;
  std::string task_;
  Clock::time_point task_start_;
  Clock::time_point last_drawn_;
};

// Wipes a bar that is on the screen, before another line is written.
void clear_progress_line();

}  // namespace polyphony::cli
