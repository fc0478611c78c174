// SPDX-License-Identifier: Apache-2.0
// Writing all or nothing: temporary name, fsync, rename, fsync of the folder.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/base/files.h"
#include "core/check.h"

namespace polyphony {
namespace {

constexpr size_t kMaxWriteBytes = size_t{1} << 30;
constexpr int kMaxNameTries = 100;

std::string shown(const std::filesystem::path& path) { return printable(path.native(), 400); }

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const auto folder = path.has_filename() ? path.parent_path() : path.parent_path().parent_path();
  return folder.empty() ? std::filesystem::path(".") : folder;
}

// A short name of its own: the target's name may already have the greatest length that the file system allows.
std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  static std::atomic<uint64_t> counter{0};
  return folder_of(path) / join(".polyphony-", ::getpid(), "-", counter++, ".tmp");
}

// Some file systems cannot sync a folder and say EINVAL; there the rename is as safe as it gets.
void sync_path(const std::filesystem::path& path, int open_flags) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | open_flags);
  if (fd < 0) fail<Error>("[", shown(path), "] expected to open it for fsync: ", std::strerror(errno));
  const int result = ::fsync(fd);
  const int reason = errno;
  ::close(fd);
  if (result != 0 && reason != EINVAL) fail<Error>("[", shown(path), "] fsync failed: ", std::strerror(reason));
}

void sync_folder(const std::filesystem::path& folder) { sync_path(folder, O_DIRECTORY); }

}  // namespace

void write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), std::min(bytes.size(), kMaxWriteBytes));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      fail<Error>("[", shown(path), "] ", bytes.size(), " bytes could not be written: ", std::strerror(errno));
    }
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path) {
  check<Error>(path.has_filename() && path.native().find('\0') == std::string::npos, "[", shown(path),
               "] expected the name of a file to write");
  struct stat info {};
  // Renaming over a device or a pipe would replace it in the file system.
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) {
    fail<Error>("[", shown(path), "] expected a regular file or none to write to, got ",
                S_ISDIR(info.st_mode) ? "a folder" : "a device, pipe or socket");
  }
  for (int i = 0; i < kMaxNameTries && fd_ < 0; ++i) {
    temporary_ = temporary_beside(path);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) break;
  }
  if (fd_ < 0) {
    const int reason = errno;
    temporary_.clear();
    fail<Error>("[", shown(path), "] expected a folder that can be written to: ", std::strerror(reason));
  }
  // What others may not read stays so. Not every file system has permissions to change.
  if (exists) static_cast<void>(::fchmod(fd_, info.st_mode & 07777));
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  check<Error>(fd_ >= 0, "[", shown(path_), "] expected no write after commit");
  write_all(fd_, bytes, path_);
}

void AtomicFile::commit() {
  check<Error>(fd_ >= 0, "[", shown(path_), "] expected one commit, got a second");
  if (::fsync(fd_) != 0) fail<Error>("[", shown(path_), "] fsync failed: ", std::strerror(errno));
  const int fd = fd_;
  fd_ = -1;
  if (::close(fd) != 0) fail<Error>("[", shown(path_), "] close failed: ", std::strerror(errno));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail<Error>("[", shown(path_), "] rename failed: ", std::strerror(errno));
  }
  temporary_.clear();
  sync_folder(folder_of(path_));
}

void write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomic(const std::filesystem::path& path, std::string_view text) {
  write_file_atomic(path, as_byte_span(text));
}

void publish_directory(const std::filesystem::path& temporary, const std::filesystem::path& final) {
  namespace fs = std::filesystem;
  std::error_code reason;
  check<Error>(fs::is_directory(temporary, reason), "[", shown(temporary), "] expected a folder to publish");
  std::vector<fs::path> folders = {temporary};
  fs::recursive_directory_iterator entry(temporary, reason);
  for (; !reason && entry != fs::recursive_directory_iterator(); entry.increment(reason)) {
    if (entry->is_symlink()) continue;
    if (entry->is_directory()) folders.push_back(entry->path());
    if (entry->is_regular_file()) sync_path(entry->path(), 0);
  }
  check<Error>(!reason, "[", shown(temporary), "] expected a folder that can be listed: ", reason.message());
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) sync_folder(*folder);
  if (::rename(temporary.c_str(), final.c_str()) != 0) {
    fail<Error>("[", shown(final), "] rename from ", shown(temporary), " failed: ", std::strerror(errno));
  }
  sync_folder(folder_of(final));
}

}  // namespace polyphony
