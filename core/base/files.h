// SPDX-License-Identifier: Apache-2.0
// Files that are read with a limit and written all or nothing.
// Reading throws DataError, writing throws Error; both name the path and the system's reason.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/text.h"

namespace polyphony {

// The bytes of a string, and the other way round.
std::span<const std::byte> as_byte_span(std::string_view text);
std::string_view as_text(std::span<const std::byte> bytes);

// A regular file opened for reading at any offset (pread), so that one object serves many threads.
// A file that another process cuts short gives a DataError, never a signal, as a mapping would.
class InputFile {
 public:
  // Throws DataError for a missing file and for what is not a regular file: a folder, pipe, device or socket is
  // refused at once, before a read could hang on it.
  static InputFile open(const std::filesystem::path& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;

  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const { return size_; }  // when it was opened
  // Fills `out` from `offset`. Throws DataError when the file ends before or the device fails.
  void read_at(uint64_t offset, std::span<std::byte> out) const;

 private:
  InputFile() = default;
  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// Fills `out` from `offset` of something whose size is known; parsers take one so that they read no more than they
// need.
using ReadAt = std::function<void(uint64_t offset, std::span<std::byte> out)>;
ReadAt reader_of(std::span<const std::byte> bytes);  // the bytes must outlive it
ReadAt reader_of(const InputFile& file);             // so must the file

// The whole regular file. Throws DataError, also when it is larger than `max_bytes` (checked before memory is taken).
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes);

// A file that appears under its name only when it is complete: written beside the target, synced, then renamed.
// Without commit() the destructor removes the temporary file and the old file stays.
class AtomicFile {
 public:
  // Throws Error when the folder is missing or not writable, or the target exists and is not a regular file.
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(as_byte_span(text)); }
  // fsync of the file, rename over the target, fsync of the folder.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
};

void write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomic(const std::filesystem::path& path, std::string_view text);

// write(2) until all is written. Throws Error with the reason (disk full, file size limit) naming `path`.
void write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path);

// Makes a finished folder visible under its final name: fsync of every file and folder in it, rename, fsync of the
// parent. Throws Error when `final` is there already, unless it is an empty folder; `temporary` is then left as it was.
void publish_directory(const std::filesystem::path& temporary, const std::filesystem::path& final);

// 64 hex digits; reads in pieces. Throws DataError.
std::string sha256_file(const std::filesystem::path& path);

// Throws DataError naming the file when its SHA-256 is not `expected_hex`.
void check_sha256(const std::filesystem::path& path, std::string_view expected_hex);

// A name that stays inside its folder: not empty, no separator, no NUL, neither "." nor "..".
bool is_plain_file_name(std::string_view name);

}  // namespace polyphony
