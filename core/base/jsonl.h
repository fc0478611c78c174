// SPDX-License-Identifier: Apache-2.0
// JSON lines: an append-only writer that survives a crash, and a reader that goes on after a bad line.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace polyphony {

// Appends one JSON value a line; each line is written by one write(2), so that a killed process loses at most the line
// it was writing. Opening an existing file drops a torn last line (bytes without a line end).
class JsonlWriter {
 public:
  // Throws DataError when the file is not a regular one or another writer holds it, Error when it cannot be written.
  explicit JsonlWriter(const std::filesystem::path& path);
  ~JsonlWriter();
  JsonlWriter(const JsonlWriter&) = delete;
  JsonlWriter& operator=(const JsonlWriter&) = delete;

  // Ill-formed UTF-8 in strings becomes U+FFFD. Throws Error when the disk is full.
  void write(const nlohmann::ordered_json& value);
  // Bytes of a torn line that opening dropped.
  uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t dropped_bytes_ = 0;
};

struct BadLine {
  int64_t line;  // from 1
  std::string reason;
};

inline constexpr uint64_t kMaxJsonLineBytes = uint64_t{16} << 20;

// Calls `use(value, line)` for each line that holds JSON, in order; empty lines are skipped. Returns the others: not
// JSON, nested deeper than 64, or longer than `max_line_bytes` (passed over without being kept in memory).
// Throws DataError for a file that cannot be read, and whatever `use` throws.
std::vector<BadLine> read_jsonl(const std::filesystem::path& path,
                                const std::function<void(const nlohmann::json&, int64_t)>& use,
                                uint64_t max_line_bytes = kMaxJsonLineBytes);

}  // namespace polyphony
