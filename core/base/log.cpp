// SPDX-License-Identifier: Apache-2.0
#include "core/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>

#include "core/base/text.h"

namespace polyphony {

std::optional<LogLevel> log_level_from_name(std::string_view name) {
  const auto found = std::find(kLogLevelNames.begin(), kLogLevelNames.end(), name);
  if (found == kLogLevelNames.end()) return std::nullopt;
  return static_cast<LogLevel>(found - kLogLevelNames.begin());
}

bool wants_color(int fd) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string_view(value ? value : "");
  };
  return variable("NO_COLOR").empty() && variable("TERM") != "dumb" && ::isatty(fd) == 1;
}

struct Logger::Sink {
  LogOptions options;
  int file_fd = -1;
  std::mutex mutex;
  bool file_failed = false;

  ~Sink() {
    if (file_fd >= 0) ::close(file_fd);
  }
};

Logger::Logger(const LogOptions& options) : sink_(std::make_shared<Sink>()) {
  sink_->options = options;
  if (options.file.empty()) return;
  sink_->file_fd = ::open(options.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  check<Error>(sink_->file_fd >= 0, "[log] expected a log file to write to, got ", std::strerror(errno), ": ",
               printable(options.file.native(), 400));
}

bool Logger::shows(LogLevel level) const {
  if (!sink_) return false;
  return level >= sink_->options.level || (sink_->file_fd >= 0 && level >= sink_->options.file_level);
}

namespace {

// "2026-01-31T12:00:00.123Z"
std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 40> buffer{};
  std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  const std::string fraction = std::to_string(1000 + ms).substr(1);
  return std::string(buffer.data()) + "." + fraction + "Z";
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const auto& line : split(text, '\n')) out += (out.empty() ? "" : "\n") + printable(line, 1 << 16);
  return out;
}

bool write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

void Logger::write_line(LogLevel level, std::string_view text) const {
  constexpr std::array<std::string_view, 4> kColors = {"\x1b[2m", "", "\x1b[33m", "\x1b[31m"};
  const auto index = static_cast<size_t>(level);
  const std::string time = utc_now();
  const std::string body = sink_->options.prefix + escaped(text);
  const std::string name(kLogLevelNames[index]);
  const std::lock_guard lock(sink_->mutex);
  if (level >= sink_->options.level) {
    const bool colored = sink_->options.color && !kColors[index].empty();
    // A closed stderr leaves nobody to tell.
    write_whole(sink_->options.fd, time.substr(11, 8) + " " + (colored ? std::string(kColors[index]) : "") + name +
                                       ": " + body + (colored ? "\x1b[0m\n" : "\n"));
  }
  if (sink_->file_fd < 0 || level < sink_->options.file_level || sink_->file_failed) return;
  if (!write_whole(sink_->file_fd, time + " " + name + ": " + body + "\n")) {
    sink_->file_failed = true;
    write_whole(sink_->options.fd,
                "warning: the log file cannot be written any more: " + std::string(std::strerror(errno)) + "\n");
  }
}

}  // namespace polyphony
