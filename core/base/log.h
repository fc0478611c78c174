// SPDX-License-Identifier: Apache-2.0
// A logger as a value: main makes one and passes it on; a default one is silent. Lines go to stderr and, if wished, a
// file.
#pragma once
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/check.h"

namespace polyphony {

enum class LogLevel : int { debug, info, warning, error, off };
inline constexpr std::array<std::string_view, 5> kLogLevelNames = {"debug", "info", "warning", "error", "off"};

// Nothing for a name that is none.
std::optional<LogLevel> log_level_from_name(std::string_view name);

// True when the descriptor is a terminal that shows colours and the user has not set NO_COLOR (https://no-color.org).
bool wants_color(int fd);

struct LogOptions {
  LogLevel level = LogLevel::info;  // least level shown on the terminal
  int fd = 2;
  bool color = false;
  std::filesystem::path file = {};  // appended to; empty for none
  LogLevel file_level = LogLevel::debug;
  std::string prefix = {};  // before each text, such as "rank 3: "
};

// Copies share their outputs. Safe to use from many threads: each line is one write. Control characters are escaped,
// line ends are kept.
class Logger {
 public:
  Logger() = default;
  // Throws Error when the file cannot be opened.
  explicit Logger(const LogOptions& options);

  template <class... Parts>
  void debug(const Parts&... parts) const {
    write(LogLevel::debug, parts...);
  }
  template <class... Parts>
  void info(const Parts&... parts) const {
    write(LogLevel::info, parts...);
  }
  template <class... Parts>
  void warning(const Parts&... parts) const {
    write(LogLevel::warning, parts...);
  }
  template <class... Parts>
  void error(const Parts&... parts) const {
    write(LogLevel::error, parts...);
  }

  bool shows(LogLevel level) const;

 private:
  struct Sink;

  template <class... Parts>
  void write(LogLevel level, const Parts&... parts) const {
    if (shows(level)) write_line(level, join(parts...));
  }
  void write_line(LogLevel level, std::string_view text) const;

  std::shared_ptr<Sink> sink_;
};

}  // namespace polyphony
