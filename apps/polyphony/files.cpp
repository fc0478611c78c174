// SPDX-License-Identifier: Apache-2.0
// Reads of arguments and standard input, and the proof that outputs can be written.
#include "apps/polyphony/files.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/base/files.h"
#include "core/base/signals.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/session.h"

namespace polyphony::cli {
namespace {

namespace fs = std::filesystem;
constexpr size_t kMaxStdinBytes = 256u << 20;

std::string read_stdin(size_t max_bytes) {
  std::string bytes;
  char block[65536];
  while (true) {
    // A signal ends poll(2), but not a read that waits.
    struct pollfd ready {
      STDIN_FILENO, POLLIN, 0
    };
    if (::poll(&ready, 1, -1) < 0) {
      throw_if_interrupted();
      continue;
    }
    const auto got = ::read(STDIN_FILENO, block, sizeof(block));
    if (got < 0 && errno == EINTR) continue;
    check<DataError>(got >= 0, "[stdin] cannot read: ", std::strerror(errno));
    if (got == 0) return bytes;
    check<DataError>(bytes.size() + static_cast<size_t>(got) <= max_bytes, "[stdin] expected at most ", max_bytes,
                     " bytes, got more");
    bytes.append(block, static_cast<size_t>(got));
  }
}

}  // namespace

std::string read_text_argument(const std::string& argument) {
  std::string text = argument;
  if (argument == "-") text = read_stdin(pipelines::kMaxPromptBytes);
  if (argument.size() > 1 && argument.front() == '@') text = read_file(argument.substr(1), pipelines::kMaxPromptBytes);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (!text.empty() && text.back() == '\r') text.pop_back();
  return text;
}

std::string input_file(const std::string& argument) {
  if (argument != "-") return argument;
  const auto bytes = read_stdin(kMaxStdinBytes);
  // An anonymous file in memory: it has a name to open, and is gone when the process ends.
  const int fd = ::memfd_create("stdin", MFD_CLOEXEC);
  check<Error>(fd >= 0, "[stdin] cannot keep the input: ", std::strerror(errno));
  write_all(fd, as_byte_span(bytes), "standard input");
  return "/proc/self/fd/" + std::to_string(fd);
}

void check_input(const std::string& file) { InputFile::open(file); }

std::vector<std::string> numbered_files(const std::string& file, int64_t count) {
  if (count == 1) return {file};
  const fs::path path(file);
  std::vector<std::string> files;
  for (int64_t i = 1; i <= count; ++i) {
    const auto name = path.stem().string() + "-" + std::to_string(i) + path.extension().string();
    files.push_back((path.parent_path() / name).string());
  }
  return files;
}

namespace {

bool has_other_picture_extension(const fs::path& path) {
  auto extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::ranges::any_of(std::array{".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"},
                             [&](const char* other) { return extension == other; });
}

}  // namespace

void check_outputs(const OutputCheck& outputs) {
  for (const auto& file : outputs.files) {
    if (file == "-") continue;
    const fs::path path(file);
    std::error_code error;
    check<UsageError>(!fs::is_directory(path, error) && path.has_filename(),
                      "[output] expected a file name, got the folder '", printable(file), "'");
    check<UsageError>(!has_other_picture_extension(path),
                      "[output] pictures are PNG files: expected a name in .png, got '", printable(file), "'");
    const bool there = fs::exists(path, error);
    check<Error>(!error, "[output] cannot use '", printable(file), "': ", error.message());
    check<UsageError>(outputs.overwrite || !there, "[output] '", printable(file),
                      "' is there already: use --overwrite or another name");
    const auto folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
    fs::create_directories(folder, error);
    check<Error>(!error, "[output] cannot make the folder '", printable(folder.string()), "': ", error.message());
    const AtomicFile probe(path);
  }
}

}  // namespace polyphony::cli
