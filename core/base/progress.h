// SPDX-License-Identifier: Apache-2.0
// How far a long task is: a bar on a terminal, now and then a plain line elsewhere, or JSON events for front ends.
#pragma once
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

namespace polyphony {

enum class ProgressStyle { none, bar, lines, json };

// `name` is "auto", "bar", "lines", "json" or "none". "auto" is a bar on a terminal, else lines if verbose, else none.
// Throws UsageError for another name.
ProgressStyle progress_style(std::string_view name, bool verbose, int fd = 2);

// Seconds of a clock that never goes back.
double monotonic_seconds();

struct ProgressOptions {
  std::string task;         // "train", "generate"
  int64_t total = 0;        // 0: not known, then no ETA
  int64_t start = 0;        // already done before this run (resumed work), left out of the rate
  std::string unit = "it";  // of the rate: "4.2 it/s"
  ProgressStyle style = ProgressStyle::none;
  std::ostream* out = nullptr;  // null is std::cerr
  double bar_interval_s = 0.1;  // also of JSON events
  double line_interval_s = 10;
  int width = 0;  // columns of the bar's line; 0 asks the terminal
  std::function<double()> clock = monotonic_seconds;
};

// One task. The first and the last update are always shown, those between at most once an interval.
//   {"event":"progress","task":"train","done":3,"total":10,"rate":1.5,"eta_s":4.7,"note":"loss 2.31"}
class Progress {
 public:
  explicit Progress(ProgressOptions options);
  ~Progress();  // ends the bar's line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `note` is shown at the end of the line: "loss 2.31".
  void update(int64_t done, std::string_view note = {});
  // Shows the last state and ends the line; later updates are ignored.
  void finish();

  // Seconds left, when they can be known.
  std::optional<double> eta_s() const;
  double rate() const;  // per second

 private:
  void show(std::string_view note);
  void show_bar(std::string_view note);
  void show_json(std::string_view note);
  std::string summary(std::string_view note) const;

  ProgressOptions options_;
  double started_s_;
  double shown_s_ = 0;
  double now_s_;
  int64_t done_;
  std::string note_;
  int64_t shown_done_ = -1;
  bool finished_ = false;
};

}  // namespace polyphony
