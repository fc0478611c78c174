// SPDX-License-Identifier: Apache-2.0
#include "core/base/signals.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>

#include "core/error.h"

namespace polyphony {
namespace {

constexpr int kDone = 42, kWrong = 43;

// Runs `child` in a process of its own; `parent` gets its id once the handlers are there. Returns the exit code, or
// minus the signal that ended it.
int exit_code_of(const std::function<int()>& child, const std::function<void(pid_t)>& parent) {
  int ready[2];
  EXPECT_EQ(::pipe(ready), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(60);  // a test that hangs ends
    install_signal_handlers();
    if (::write(ready[1], "x", 1) != 1) ::_exit(kWrong);
    ::_exit(child());
  }
  char byte = 0;
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  ::close(ready[1]);
  parent(pid);
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int wait_for_signal() {
  while (interrupted() == 0) ::usleep(1000);
  return interrupted();
}

TEST(Signals, TheFirstIsNotedAndTheWorkEndsInItsOwnTime) {
  EXPECT_EQ(exit_code_of(wait_for_signal, [](pid_t pid) { ::kill(pid, SIGINT); }), SIGINT);
  EXPECT_EQ(exit_code_of(wait_for_signal, [](pid_t pid) { ::kill(pid, SIGTERM); }), SIGTERM);
}

TEST(Signals, TheSecondEndsTheProcessAtOnce) {
  const auto stubborn = [] {
    for (;;) ::pause();
    return kWrong;
  };
  const auto twice = [](int number) {
    return [number](pid_t pid) {
      ::kill(pid, number);
      ::usleep(50000);  // two pending signals of one number would become one
      ::kill(pid, number);
    };
  };
  EXPECT_EQ(exit_code_of(stubborn, twice(SIGINT)), static_cast<int>(ExitCode::interrupted));
  EXPECT_EQ(exit_code_of(stubborn, twice(SIGTERM)), static_cast<int>(ExitCode::terminated));
}

TEST(Signals, ABrokenPipeIsAnErrorAndNotADeath) {
  const auto write_to_nobody = [] {
    int ends[2];
    if (::pipe(ends) != 0) return kWrong;
    ::close(ends[0]);
    return ::write(ends[1], "x", 1) < 0 && errno == EPIPE ? kDone : kWrong;
  };
  EXPECT_EQ(exit_code_of(write_to_nobody, [](pid_t) {}), kDone);
}

TEST(Signals, WorkThatAsksIsCancelledByAnException) {
  const auto work = [] {
    try {
      for (;;) throw_if_interrupted();
    } catch (const CancelledError&) {
      return kDone;
    }
  };
  EXPECT_EQ(exit_code_of(work, [](pid_t pid) { ::kill(pid, SIGTERM); }), kDone);
}

}  // namespace
}  // namespace polyphony
