// SPDX-License-Identifier: Apache-2.0
#include "apps/polyphony/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/signals.h"
#include "core/check.h"
#include "pipelines/session.h"

namespace polyphony::cli {

// poll, because a read would go on after a signal.
bool LineReader::wait_for_more() {
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  while (::poll(&input, 1, -1) < 0) {
    if (interrupted()) return false;
    check<DataError>(errno == EINTR, "[stdin] cannot read: ", std::strerror(errno));
  }
  char bytes[4096];
  const auto count = ::read(STDIN_FILENO, bytes, sizeof(bytes));
  check<DataError>(count >= 0, "[stdin] cannot read: ", std::strerror(errno));
  at_end_ = count == 0;
  buffer_.append(bytes, static_cast<size_t>(count));
  return true;
}

std::optional<std::string> LineReader::next() {
  for (;;) {
    if (interrupted()) return std::nullopt;
    const auto end = buffer_.find('\n');
    const bool last = end == std::string::npos && at_end_;
    if (last && buffer_.empty()) return std::nullopt;
    if (end != std::string::npos || last) {
      auto line = buffer_.substr(0, end);
      buffer_.erase(0, last ? buffer_.size() : end + 1);
      if (line.ends_with('\r')) line.pop_back();
      return line;
    }
    check<DataError>(buffer_.size() <= pipelines::kMaxPromptBytes, "[stdin] expected lines of at most ",
                     pipelines::kMaxPromptBytes, " bytes");
    if (!wait_for_more()) return std::nullopt;
  }
}

}  // namespace polyphony::cli
