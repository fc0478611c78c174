// SPDX-License-Identifier: Apache-2.0
// A file's bytes as memory that is read from the disk when it is touched.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace polyphony {

// For files that this program wrote whole: one that is cut while it is mapped ends the process at the next touch.
class MappedFile {
 public:
  // Throws DataError for what is no regular file that can be read.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Starts at the beginning of a page.
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace polyphony
