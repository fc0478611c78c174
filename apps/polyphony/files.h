// SPDX-License-Identifier: Apache-2.0
// Where inputs come from and outputs go: '-' for standard streams, and checks before any model is loaded.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace polyphony::cli {

// "-": standard input; "@file": that file; else the text itself. One line end at the end is dropped.
// Throws DataError.
std::string read_text_argument(const std::string& argument);

// "-": a name under which standard input, read whole, can be opened as a regular file; else the argument.
// Throws DataError (more than 256 MiB).
std::string input_file(const std::string& argument);

// Throws DataError if the file is not there or cannot be opened.
void check_input(const std::string& file);

// `file`, or name-1.png ... name-N.png for several.
std::vector<std::string> numbered_files(const std::string& file, int64_t count);

struct OutputCheck {
  std::vector<std::string> files;
  bool overwrite = false;
};
// Makes missing folders and proves that each file can be written. Throws UsageError for a file that is there already
// (without overwrite) and Error with the system's reason.
void check_outputs(const OutputCheck& check);

}  // namespace polyphony::cli
