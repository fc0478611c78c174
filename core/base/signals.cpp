// SPDX-License-Identifier: Apache-2.0
#include "core/base/signals.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "core/check.h"

namespace polyphony {

namespace {

// A signal belongs to the process, so its note does too.
std::atomic<int> noted_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

extern "C" void note_signal(int number) {
  int none = 0;
  if (!noted_signal.compare_exchange_strong(none, number)) ::_exit(128 + number);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action = {};
  action.sa_handler = note_signal;
  // Reads and writes go on after the first signal; the work stops at its next look at interrupted().
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, nullptr);
}

int interrupted() noexcept { return noted_signal.load(std::memory_order_relaxed); }

int take_interrupt() noexcept { return noted_signal.exchange(0, std::memory_order_relaxed); }

void throw_if_interrupted() {
  if (const int number = interrupted())
    fail<CancelledError>("[signal] stopped by ", number == SIGINT ? "SIGINT" : "SIGTERM");
}

}  // namespace polyphony
