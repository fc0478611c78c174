// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: its length, its JSON, and the checks on all tensors together.
#include <algorithm>
#include <array>
#include <bit>

#include "core/check.h"
#include "core/formats/safetensors.h"
#include "core/formats/safetensors_json.h"
#include "core/formats/sniff.h"

namespace polyphony::formats {
namespace {

constexpr uint64_t kLengthBytes = 8;

static_assert(std::endian::native == std::endian::little, "the bytes of a file are used as they are");

void check_names_differ(const std::vector<TensorInfo>& tensors, std::string_view where) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) names.push_back(tensor.name);
  std::ranges::sort(names);
  const auto twin = std::ranges::adjacent_find(names);
  check<DataError>(twin == names.end(), "[", where, "] expected each tensor once, got '",
                   twin == names.end() ? "" : printable(*twin), "' twice");
}

// Returns where the data should end. Zero-size tensors may share an offset.
uint64_t check_tiling(const std::vector<TensorInfo>& tensors, std::string_view where) {
  uint64_t end = 0;
  for (const TensorInfo& tensor : tensors) {
    check<DataError>(tensor.begin >= end, "[", where, "] tensor '", printable(tensor.name), "' begins at ",
                     tensor.begin, " and overlaps the one before, which ends at ", end);
    check<DataError>(tensor.begin == end, "[", where, "] tensor '", printable(tensor.name),
                     "': expected it to begin at ", end, ", where the one before ends, got ", tensor.begin);
    end = tensor.end;
  }
  return end;
}

std::string foreign_at(uint64_t offset, uint64_t file_size, const ReadAt& read_at) {
  std::array<std::byte, kSniffBytes> first;
  const auto piece = std::span(first).first(static_cast<size_t>(std::min<uint64_t>(kSniffBytes, file_size - offset)));
  read_at(offset, piece);
  const std::string meaning = describe_foreign(piece);
  return meaning.empty() ? meaning : join("; it looks like ", meaning);
}

std::string read_header_text(uint64_t file_size, const ReadAt& read_at, std::string_view where,
                             const SafetensorsLimits& limits) {
  check<DataError>(file_size >= kLengthBytes, "[", where, "] expected at least 8 bytes, got ", file_size,
                   ": the file is too small");
  uint64_t num_bytes = 0;
  read_at(0, std::as_writable_bytes(std::span(&num_bytes, 1)));
  if (num_bytes > limits.max_header_bytes) {
    fail<DataError>("[", where, "] expected a header of at most ", limits.max_header_bytes, " bytes, got ", num_bytes,
                    foreign_at(0, file_size, read_at));
  }
  if (num_bytes > file_size - kLengthBytes) {
    fail<DataError>("[", where, "] expected a header of ", num_bytes, " bytes, but only ", file_size - kLengthBytes,
                    " follow: the file is truncated", foreign_at(0, file_size, read_at));
  }
  std::string text(static_cast<size_t>(num_bytes), '\0');
  read_at(kLengthBytes, std::as_writable_bytes(std::span(text)));
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || text[first] != '{') {
    fail<DataError>("[", where, "] expected a header that begins with '{', got ",
                    first == std::string::npos ? "nothing" : "'" + printable(text.substr(first, 4)) + "'",
                    foreign_at(0, file_size, read_at));
  }
  // The JSON library would take a NUL byte for the end and not look at what follows.
  const size_t nul = text.find('\0');
  check<DataError>(nul == std::string::npos, "[", where, "] expected a JSON header, got a NUL byte at byte ",
                   kLengthBytes + nul);
  return text;
}

}  // namespace

SafetensorsHeader parse_safetensors_header(uint64_t file_size, const ReadAt& read_at, std::string_view where,
                                           const SafetensorsLimits& limits) {
  const std::string text = read_header_text(file_size, read_at, where, limits);
  SafetensorsHeader header;
  header.data_begin = kLengthBytes + text.size();
  read_safetensors_json(text, kLengthBytes, where, limits, header);

  check_names_differ(header.tensors, where);
  std::ranges::sort(header.tensors, {}, [](const TensorInfo& t) { return std::pair(t.begin, t.end); });
  const uint64_t data_end = check_tiling(header.tensors, where);
  const uint64_t data_bytes = file_size - header.data_begin;
  check<DataError>(data_end <= data_bytes, "[", where, "] expected ", data_end, " bytes of tensors, but only ",
                   data_bytes, " follow the header: the file is truncated");
  if (data_end < data_bytes) {
    fail<DataError>("[", where, "] expected the file to end after the last tensor, got ", data_bytes - data_end,
                    " extra bytes", foreign_at(header.data_begin + data_end, file_size, read_at));
  }
  return header;
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file_bytes, std::string_view where,
                                           const SafetensorsLimits& limits) {
  return parse_safetensors_header(file_bytes.size(), reader_of(file_bytes), where, limits);
}

}  // namespace polyphony::formats
