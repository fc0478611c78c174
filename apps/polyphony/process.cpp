// SPDX-License-Identifier: Apache-2.0
// Signals and standard streams, set up before anything else runs.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "apps/polyphony/terminal.h"

namespace polyphony::cli {
namespace {

// A signal handler can reach nothing but these two.
volatile std::sig_atomic_t caught = 0;
volatile std::sig_atomic_t graceful = 0;

void on_signal(int signal) {
  if (!graceful || caught) _exit(128 + signal);
  caught = signal;
}

void keep_descriptor(int fd, int flags) {
  if (::fcntl(fd, F_GETFD) >= 0) return;
  // The lowest free number is taken, and lower ones were filled before. Wrong direction: writes must keep failing.
  if (::open("/dev/null", flags) != fd) _exit(static_cast<int>(ExitCode::failure));
}

}  // namespace

void prepare_process() {
  keep_descriptor(STDIN_FILENO, O_WRONLY);
  keep_descriptor(STDOUT_FILENO, O_RDONLY);
  keep_descriptor(STDERR_FILENO, O_RDONLY);
  std::signal(SIGPIPE, SIG_IGN);
  struct sigaction action {};
  action.sa_handler = &on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool signal_caught() { return caught != 0; }

ExitCode signal_exit_code() { return caught ? static_cast<ExitCode>(128 + caught) : ExitCode::ok; }

GracefulStop::GracefulStop() { graceful = 1; }
GracefulStop::~GracefulStop() { graceful = 0; }

}  // namespace polyphony::cli
