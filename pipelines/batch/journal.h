// SPDX-License-Identifier: Apache-2.0
// What a batch has done so far, on disk after every item, and the lock that keeps a second batch out of the folder.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace polyphony::pipelines {

struct OutputFile {
  std::string name;    // inside the output folder
  std::string sha256;  // 64 hex digits
};

struct JournalEntry {
  std::string id;
  std::string digest;  // of the request
  bool done = false;
  std::vector<OutputFile> files;
  std::string result_json;
};

// Held while the object lives; the system frees it when the process dies, however it dies.
class FolderLock {
 public:
  // Throws Error naming the process that holds it.
  explicit FolderLock(const std::filesystem::path& file);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_ = -1;
};

class Journal {
 public:
  // Opens or makes the file; a last line that a kill cut short is removed. The newest entry of an id counts.
  // Throws DataError for a file that is no journal, Error if it cannot be written.
  explicit Journal(const std::filesystem::path& file);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Null if there is none.
  const JournalEntry* find(const std::string& id) const;
  // On disk when it returns.
  void append(const JournalEntry& entry);

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  std::map<std::string, JournalEntry> entries_;
};

}  // namespace polyphony::pipelines
