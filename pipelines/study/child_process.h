// SPDX-License-Identifier: Apache-2.0
// A process that is started, asked now and then whether it has ended, and never left behind.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace polyphony::pipelines {

struct ChildCommand {
  std::filesystem::path program;
  std::vector<std::string> arguments = {};
  std::filesystem::path log;  // gets stderr; stdin and stdout are nothing
};

class ChildProcess {
 public:
  // Throws Error with the system's reason.
  explicit ChildProcess(const ChildCommand& command);
  // Stops it if it still runs: SIGTERM, and SIGKILL half a second after.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // The exit code, 128 + the number of a signal that ended it; nothing while it runs. Does not wait.
  std::optional<int> exit_code();
  // SIGTERM, without waiting.
  void ask_to_stop();

 private:
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
  bool asked_ = false;
};

}  // namespace polyphony::pipelines
