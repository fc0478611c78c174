// SPDX-License-Identifier: Apache-2.0
// Lines of standard input, whose wait a signal ends.
#pragma once
#include <optional>
#include <string>

namespace polyphony::cli {

class LineReader {
 public:
  // The next line without its end; nothing at the end of the input or when a signal was noted (base/signals.h).
  // Throws DataError for a line of more than kMaxPromptBytes and for an input that cannot be read.
  std::optional<std::string> next();

 private:
  bool wait_for_more();
  std::string buffer_;
  bool at_end_ = false;
};

}  // namespace polyphony::cli
