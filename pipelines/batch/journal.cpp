// SPDX-License-Identifier: Apache-2.0
// One JSON object a line, appended and synced; flock(2) for the lock.
#include "pipelines/batch/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/files.h"
#include "core/check.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

constexpr uint64_t kMaxJournalBytes = uint64_t{1} << 30;

int open_or_throw(const std::filesystem::path& file, int flags) {
  const int fd = ::open(file.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0644);
  check<Error>(fd >= 0, "[batch] cannot write '", file.string(), "': ", std::strerror(errno));
  return fd;
}

nlohmann::json to_object(const JournalEntry& entry) {
  auto files = nlohmann::json::array();
  for (const auto& file : entry.files) files.push_back({{"name", file.name}, {"sha256", file.sha256}});
  return {{"id", entry.id},
          {"digest", entry.digest},
          {"done", entry.done},
          {"files", files},
          {"result", entry.result_json}};
}

JournalEntry from_line(std::string_view line) {
  const auto json = parse_json(line, "batch journal");
  try {
    JournalEntry entry{json.at("id"), json.at("digest"), json.at("done"), {}, json.at("result")};
    for (const auto& file : json.at("files")) {
      entry.files.push_back({file.at("name"), file.at("sha256")});
      check<DataError>(is_plain_file_name(entry.files.back().name), "[batch journal] a file name leaves the folder");
    }
    return entry;
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("[batch journal] not a journal of this program: ", error.what());
  }
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& file) : fd_(open_or_throw(file, O_RDWR | O_CREAT)) {
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    char owner[32] = {};
    const auto got = ::read(fd_, owner, sizeof(owner) - 1);
    ::close(fd_);
    check<Error>(reason == EWOULDBLOCK, "[batch] cannot lock '", file.string(), "': ", std::strerror(reason));
    fail<Error>("[batch] the folder '", file.parent_path().string(), "' is in use by process ",
                got > 0 ? std::string(owner) : std::string("(unknown)"));
  }
  const auto pid = std::to_string(::getpid());
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, pid.data(), pid.size(), 0) < 0) {
    const int reason = errno;
    ::close(fd_);
    fail<Error>("[batch] cannot write '", file.string(), "': ", std::strerror(reason));
  }
}

FolderLock::~FolderLock() { ::close(fd_); }

Journal::Journal(const std::filesystem::path& file) : path_(file) {
  fd_ = open_or_throw(file, O_RDWR | O_CREAT | O_APPEND);
  try {
    const auto text = read_file(file, kMaxJournalBytes);
    const auto whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
    check<Error>(::ftruncate(fd_, static_cast<off_t>(whole)) == 0, "[batch] cannot write '", file.string(),
                 "': ", std::strerror(errno));
    for (std::string_view rest = std::string_view(text).substr(0, whole); !rest.empty();) {
      const auto end = rest.find('\n');
      auto entry = from_line(rest.substr(0, end));
      rest.remove_prefix(end + 1);
      auto id = entry.id;
      entries_[std::move(id)] = std::move(entry);
    }
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

Journal::~Journal() { ::close(fd_); }

const JournalEntry* Journal::find(const std::string& id) const {
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : &it->second;
}

void Journal::append(const JournalEntry& entry) {
  const auto line = dump_json(to_object(entry)) + "\n";
  write_all(fd_, as_byte_span(line), path_);
  check<Error>(::fdatasync(fd_) == 0, "[batch] cannot write '", path_.string(), "': ", std::strerror(errno));
  entries_[entry.id] = entry;
}

}  // namespace polyphony::pipelines
