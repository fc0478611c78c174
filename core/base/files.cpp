// SPDX-License-Identifier: Apache-2.0
// Reading with pread; paths and text of messages.
#include "core/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "core/base/sha256.h"
#include "core/check.h"

namespace polyphony {
namespace {

constexpr size_t kMaxReadBytes = size_t{1} << 30;  // one pread moves less than 2 GiB
constexpr size_t kHashPieceBytes = size_t{1} << 20;

std::string kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a named pipe";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "a special file";
}

}  // namespace

std::span<const std::byte> as_byte_span(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

InputFile InputFile::open(const std::filesystem::path& path) {
  const auto name = [&] { return printable(path.native(), 400); };
  InputFile file;
  file.path_ = path;
  // The path may hold a NUL byte that the system call would take for its end.
  check<DataError>(path.native().find('\0') == std::string::npos, "[", name(), "] expected a path without NUL bytes");
  // Without O_NONBLOCK opening a named pipe waits for a writer.
  file.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file.fd_ < 0) fail<DataError>("[", name(), "] expected a readable file: ", std::strerror(errno));
  struct stat info {};
  if (::fstat(file.fd_, &info) != 0) fail<DataError>("[", name(), "] expected a readable file: ", std::strerror(errno));
  if (!S_ISREG(info.st_mode)) fail<DataError>("[", name(), "] expected a regular file, got ", kind_of(info.st_mode));
  file.size_ = static_cast<uint64_t>(info.st_size);
  return file;
}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

void InputFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  check<DataError>(offset <= size_ && out.size() <= size_ - offset, "[", printable(path_.native(), 400), "] expected ",
                   out.size(), " bytes at offset ", offset, ", but the file has ", size_);
  size_t done = 0;
  while (done < out.size()) {
    const size_t want = std::min(out.size() - done, kMaxReadBytes);
    const ssize_t got = ::pread(fd_, out.data() + done, want, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      fail<DataError>("[", printable(path_.native(), 400), "] expected to read ", want, " bytes at offset ",
                      offset + done, ": ", std::strerror(errno));
    }
    if (got == 0) {
      fail<DataError>("[", printable(path_.native(), 400), "] expected ", size_, " bytes, but the file now ends at ",
                      offset + done, ": was it cut short while being read?");
    }
    done += static_cast<size_t>(got);
  }
}

ReadAt reader_of(std::span<const std::byte> bytes) {
  return [bytes](uint64_t offset, std::span<std::byte> out) {
    check<DataError>(offset <= bytes.size() && out.size() <= bytes.size() - offset, "[bytes] expected ", out.size(),
                     " bytes at offset ", offset, ", got ", bytes.size(), " in all");
    std::ranges::copy(bytes.subspan(static_cast<size_t>(offset), out.size()), out.begin());
  };
}

ReadAt reader_of(const InputFile& file) {
  return [&file](uint64_t offset, std::span<std::byte> out) { file.read_at(offset, out); };
}

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const InputFile file = InputFile::open(path);
  check<DataError>(file.size() <= max_bytes, "[", printable(path.native(), 400), "] expected at most ", max_bytes,
                   " bytes, got ", file.size());
  std::string bytes(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::string sha256_file(const std::filesystem::path& path) {
  const InputFile file = InputFile::open(path);
  std::vector<std::byte> piece(static_cast<size_t>(std::min<uint64_t>(file.size(), kHashPieceBytes)));
  Sha256 hash;
  for (uint64_t offset = 0; offset < file.size(); offset += piece.size()) {
    const auto n = static_cast<size_t>(std::min<uint64_t>(piece.size(), file.size() - offset));
    file.read_at(offset, std::span(piece).first(n));
    hash.update(std::span(piece).first(n));
  }
  return hash.hex_digest();
}

void check_sha256(const std::filesystem::path& path, std::string_view expected_hex) {
  const std::string found = sha256_file(path);
  check<DataError>(found == expected_hex, "[", printable(path.native(), 400), "] expected SHA-256 ", expected_hex,
                   ", got ", found, ": the file is damaged or another one");
}

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

}  // namespace polyphony
