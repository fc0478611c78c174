// SPDX-License-Identifier: Apache-2.0
// Runs the built command line as a child process and collects what it says.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace polyphony::testing {

struct ChildOptions {
  std::string input = {};       // standard input
  std::string input_file = {};  // or a file or pipe opened as standard input
  std::string output = {};      // where stdout goes; empty: collected
  bool close_output = false;    // starts with stdout closed
  std::map<std::string, std::string> environment = {};
  int kill_signal = 0;  // sent after kill_after_ms
  int kill_after_ms = 0;
};

struct ChildResult {
  int code = -1;  // exit code; 128 + signal if one ended it
  std::string out;
  std::string err;
};

// The path of the built program.
std::string program();
ChildResult run_child(const std::vector<std::string>& arguments, const ChildOptions& options = {});

}  // namespace polyphony::testing
