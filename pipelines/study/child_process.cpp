// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::pipelines {
namespace {

constexpr auto kPatience = std::chrono::milliseconds(500);
constexpr auto kPause = std::chrono::milliseconds(10);

// What the child's streams become, as posix_spawn takes it.
class FileActions {
 public:
  explicit FileActions(const std::filesystem::path& log) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

}  // namespace

ChildProcess::ChildProcess(const ChildCommand& command) {
  auto words = command.arguments;
  words.insert(words.begin(), command.program.string());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const FileActions actions(command.log);
  const int reason = ::posix_spawn(&pid_, command.program.c_str(), actions.get(), nullptr, argv.data(), environ);
  check<Error>(reason == 0, "[study] cannot start '", printable(command.program.string()),
               "': ", std::strerror(reason));
}

ChildProcess::~ChildProcess() {
  ask_to_stop();
  for (auto waited = kPause; !exit_code() && waited < kPatience; waited += kPause) std::this_thread::sleep_for(kPause);
  if (exit_code_) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
}

std::optional<int> ChildProcess::exit_code() {
  if (exit_code_) return exit_code_;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_code_;
}

void ChildProcess::ask_to_stop() {
  if (!asked_ && !exit_code()) ::kill(pid_, SIGTERM);
  asked_ = true;
}

}  // namespace polyphony::pipelines
