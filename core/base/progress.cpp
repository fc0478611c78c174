// SPDX-License-Identifier: Apache-2.0
#include "core/base/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony {

ProgressStyle progress_style(std::string_view name, bool verbose, int fd) {
  if (name == "none") return ProgressStyle::none;
  if (name == "bar") return ProgressStyle::bar;
  if (name == "lines") return ProgressStyle::lines;
  if (name == "json") return ProgressStyle::json;
  check<UsageError>(name == "auto", "[progress] expected one of auto, bar, lines, json, none, got '", printable(name),
                    "'");
  if (::isatty(fd) == 1) return ProgressStyle::bar;
  return verbose ? ProgressStyle::lines : ProgressStyle::none;
}

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

namespace {

int terminal_width() {
  winsize size{};
  constexpr int kUsual = 80;
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

}  // namespace

Progress::Progress(ProgressOptions options)
    : options_(std::move(options)), started_s_(options_.clock()), now_s_(started_s_), done_(options_.start) {
  if (!options_.out) options_.out = &std::cerr;
}

Progress::~Progress() {
  if (!finished_ && options_.style == ProgressStyle::bar && shown_done_ >= 0) *options_.out << '\n' << std::flush;
}

void Progress::update(int64_t done, std::string_view note) {
  if (finished_) return;
  done_ = done;
  now_s_ = options_.clock();
  note_ = note;
  const double interval = options_.style == ProgressStyle::lines ? options_.line_interval_s : options_.bar_interval_s;
  const bool first = shown_done_ < 0;
  if (first || now_s_ - shown_s_ >= interval) show(note);
}

void Progress::finish() {
  if (finished_) return;
  now_s_ = options_.clock();
  if (shown_done_ != done_ || options_.style == ProgressStyle::bar) show(note_);
  if (options_.style == ProgressStyle::bar) *options_.out << '\n' << std::flush;
  finished_ = true;
}

double Progress::rate() const {
  const double elapsed = now_s_ - started_s_;
  return elapsed > 0 ? static_cast<double>(done_ - options_.start) / elapsed : 0;
}

std::optional<double> Progress::eta_s() const {
  if (options_.total <= 0 || rate() <= 0) return std::nullopt;
  return static_cast<double>(std::max<int64_t>(0, options_.total - done_)) / rate();
}

void Progress::show(std::string_view note) {
  shown_s_ = now_s_;
  shown_done_ = done_;
  if (options_.style == ProgressStyle::bar) show_bar(note);
  if (options_.style == ProgressStyle::json) show_json(note);
  if (options_.style == ProgressStyle::lines)
    *options_.out << options_.task << ": " << summary(note) << '\n' << std::flush;
}

std::string Progress::summary(std::string_view note) const {
  std::string out = std::to_string(done_);
  if (options_.total > 0) out += "/" + std::to_string(options_.total);
  if (rate() > 0) {
    const double shown_rate = rate() < 1 ? 1 / rate() : rate();
    out += "  " + human_count(std::round(shown_rate * 10) / 10) +
           (rate() < 1 ? " s/" + options_.unit : " " + options_.unit + "/s");
  }
  if (const auto eta = eta_s())
    out += done_ >= options_.total ? "  in " + human_duration(now_s_ - started_s_) : "  ETA " + human_duration(*eta);
  if (!note.empty()) out += "  " + printable(note);
  return out;
}

void Progress::show_bar(std::string_view note) {
  constexpr int kLeastBar = 10;
  const size_t width = static_cast<size_t>(std::max(20, options_.width > 0 ? options_.width : terminal_width())) - 1;
  const std::string text = summary(note);
  std::string bar;
  const auto used = static_cast<int64_t>(options_.task.size() + text.size() + 5);
  const int64_t cells = std::min<int64_t>(30, static_cast<int64_t>(width) - used);
  if (options_.total > 0 && cells >= kLeastBar) {
    const double part = std::clamp(static_cast<double>(done_) / static_cast<double>(options_.total), 0.0, 1.0);
    const auto full = static_cast<size_t>(part * static_cast<double>(cells));
    bar = "[" + std::string(full, '#') + std::string(static_cast<size_t>(cells) - full, ' ') + "] ";
  }
  std::string line = options_.task + " " + bar + text;
  // Cut between characters, never inside one: a letter of several bytes would show as rubbish.
  if (line.size() > width) {
    size_t end = width;
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
    line.resize(end);
  }
  *options_.out << '\r' << line << "\x1b[K" << std::flush;
}

void Progress::show_json(std::string_view note) {
  nlohmann::ordered_json event = {{"event", "progress"}, {"task", to_utf8(options_.task)}, {"done", done_}};
  event["total"] = options_.total > 0 ? nlohmann::ordered_json(options_.total) : nlohmann::ordered_json();
  event["rate"] = rate();
  const auto eta = eta_s();
  event["eta_s"] = eta ? nlohmann::ordered_json(*eta) : nlohmann::ordered_json();
  if (!note.empty()) event["note"] = to_utf8(note);
  *options_.out << event.dump() + "\n" << std::flush;
}

}  // namespace polyphony
