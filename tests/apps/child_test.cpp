// SPDX-License-Identifier: Apache-2.0
// The runner itself, and the one test that it starts the program at all.
#include "tests/apps/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace polyphony::testing {
namespace {

std::string slurp(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void redirect(const std::string& file, int flags, int to) {
  const int fd = ::open(file.c_str(), flags, 0644);
  if (fd < 0 || ::dup2(fd, to) < 0) ::_exit(99);
  ::close(fd);
}

[[noreturn]] void become(const std::vector<std::string>& arguments, const ChildOptions& options,
                         const TemporaryFolder& folder) {
  redirect(options.input_file.empty() ? (folder / "in").native() : options.input_file, O_RDWR, 0);
  redirect(options.output.empty() ? (folder / "out").native() : options.output, O_WRONLY | O_CREAT, 1);
  redirect((folder / "err").native(), O_WRONLY | O_CREAT, 2);
  if (options.close_output) ::close(1);
  for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
  auto words = arguments;
  words.insert(words.begin(), "polyphony");
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(program().c_str(), argv.data());
  ::_exit(98);
}

}  // namespace

std::string program() { return std::string(POLYPHONY_BUILD_DIR) + "/bin/polyphony"; }

ChildResult run_child(const std::vector<std::string>& arguments, const ChildOptions& options) {
  const TemporaryFolder folder;
  std::ofstream(folder / "in", std::ios::binary) << options.input;
  const pid_t child = ::fork();
  if (child == 0) become(arguments, options, folder);
  if (options.kill_signal) {
    std::this_thread::sleep_for(std::chrono::milliseconds(options.kill_after_ms));
    ::kill(child, options.kill_signal);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ChildResult result;
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = slurp(folder / "out");
  result.err = slurp(folder / "err");
  return result;
}

TEST(Child, TellsItsVersion) {
  const auto result = run_child({"--version"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out.find("polyphony "), 0u);
}

}  // namespace polyphony::testing
