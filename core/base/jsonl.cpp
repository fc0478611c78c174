// SPDX-License-Identifier: Apache-2.0
#include "core/base/jsonl.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony {

namespace {

constexpr size_t kBlock = size_t{1} << 16;

// Where the last complete line ends: just after the last line end, or 0.
uint64_t end_of_last_line(const InputFile& file) {
  std::string block;
  for (uint64_t end = file.size(); end > 0;) {
    const uint64_t begin = end > kBlock ? end - kBlock : 0;
    block.resize(end - begin);
    file.read_at(begin, {reinterpret_cast<std::byte*>(block.data()), block.size()});
    if (const size_t at = block.rfind('\n'); at != std::string::npos) return begin + at + 1;
    end = begin;
  }
  return 0;
}

}  // namespace

JsonlWriter::JsonlWriter(const std::filesystem::path& path) : path_(path) {
  const std::string name = printable(path.native(), 400);
  // O_NONBLOCK: opening a pipe must fail, not wait for a reader.
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
  check<Error>(fd_ >= 0, "[jsonl] expected a file to append to, got ", std::strerror(errno), ": ", name);
  try {
    struct stat info = {};
    check<DataError>(::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode), "[jsonl] expected a regular file: ", name);
    check<DataError>(::flock(fd_, LOCK_EX | LOCK_NB) == 0,
                     "[jsonl] expected to be the only writer, got a file in use: ", name);
    if (info.st_size > 0) {
      const auto file = InputFile::open(path);
      const uint64_t end = end_of_last_line(file);
      dropped_bytes_ = file.size() - end;
      check<Error>(dropped_bytes_ == 0 || ::ftruncate(fd_, static_cast<off_t>(end)) == 0,
                   "[jsonl] expected to drop a torn last line, got ", std::strerror(errno), ": ", name);
    }
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

JsonlWriter::~JsonlWriter() { ::close(fd_); }

void JsonlWriter::write(const nlohmann::ordered_json& value) {
  const std::string line = value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  write_all(fd_, as_byte_span(line), path_);
}

namespace {

constexpr int kMaxDepth = 64;

// Brackets outside strings; nlohmann parses any depth, but what reads the value later need not.
int depth_of(std::string_view text) {
  int depth = 0, deepest = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && (text[i] == '[' || text[i] == '{')) {
      deepest = std::max(deepest, ++depth);
    } else if (!quoted && (text[i] == ']' || text[i] == '}')) {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

std::vector<BadLine> read_jsonl(const std::filesystem::path& path,
                                const std::function<void(const nlohmann::json&, int64_t)>& use,
                                uint64_t max_line_bytes) {
  const auto file = InputFile::open(path);
  std::vector<BadLine> bad;
  std::string line;
  int64_t number = 0;
  bool too_long = false;
  const auto end_line = [&](bool torn) {
    ++number;
    const auto text = trim(line);
    nlohmann::json value;
    if (too_long) {
      bad.push_back({number, join("longer than ", human_bytes(max_line_bytes))});
    } else if (text.empty()) {
      // An empty line says nothing.
    } else if (depth_of(text) > kMaxDepth) {
      bad.push_back({number, join("nested deeper than ", kMaxDepth)});
    } else if (value = nlohmann::json::parse(text, nullptr, false); value.is_discarded()) {
      bad.push_back({number, join(torn ? "cut short: " : "not JSON: ", printable(text, 60))});
    } else {
      use(value, number);
    }
    line.clear();
    too_long = false;
  };
  std::string block;
  for (uint64_t at = 0; at < file.size(); at += block.size()) {
    block.resize(std::min<uint64_t>(kBlock, file.size() - at));
    file.read_at(at, {reinterpret_cast<std::byte*>(block.data()), block.size()});
    std::string_view rest = block;
    for (;;) {
      const size_t end = rest.find('\n');
      const auto part = rest.substr(0, end);
      too_long = too_long || line.size() + part.size() > max_line_bytes;
      if (!too_long) line += part;
      if (end == std::string_view::npos) break;
      end_line(false);
      rest.remove_prefix(end + 1);
    }
  }
  if (!line.empty() || too_long) end_line(true);
  return bad;
}

}  // namespace polyphony
