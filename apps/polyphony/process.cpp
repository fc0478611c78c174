// SPDX-License-Identifier: Apache-2.0
// Standard streams, made safe before anything else runs.
#include <fcntl.h>
#include <unistd.h>

#include "apps/polyphony/terminal.h"
#include "core/error.h"

namespace polyphony::cli {
namespace {

void keep_descriptor(int fd, int flags) {
  if (::fcntl(fd, F_GETFD) >= 0) return;
  // The lowest free number is taken, and lower ones were filled before. Wrong direction: its use must keep failing.
  if (::open("/dev/null", flags) != fd) ::_exit(static_cast<int>(ExitCode::failure));
}

}  // namespace

void keep_standard_streams() {
  keep_descriptor(STDIN_FILENO, O_WRONLY);
  keep_descriptor(STDOUT_FILENO, O_RDONLY);
  keep_descriptor(STDERR_FILENO, O_RDONLY);
}

}  // namespace polyphony::cli
