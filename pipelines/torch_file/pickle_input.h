// SPDX-License-Identifier: Apache-2.0
// The bytes of a pickle, taken from the front with a check each time. Internal to the pickle reader.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/files.h"
#include "core/check.h"

namespace polyphony::torch_file {

class PickleInput {
 public:
  PickleInput(std::span<const std::byte> bytes, uint64_t max_bytes)
      : bytes_(bytes.first(static_cast<size_t>(std::min<uint64_t>(bytes.size(), max_bytes)))) {}

  size_t at() const { return at_; }
  size_t num_left() const { return bytes_.size() - at_; }

  std::string_view take(uint64_t num_bytes) {
    check<DataError>(num_bytes <= num_left(), "[pickle] expected ", num_bytes, " more bytes, but only ", num_left(),
                     " are left: the pickle is truncated or too large");
    const std::string_view out = as_text(bytes_.subspan(at_, static_cast<size_t>(num_bytes)));
    at_ += static_cast<size_t>(num_bytes);
    return out;
  }

  // Little-endian, of at most 8 bytes.
  uint64_t take_number(size_t num_bytes) {
    uint64_t value = 0;
    int shift = 0;
    for (const char byte : take(num_bytes)) {
      value |= uint64_t{static_cast<unsigned char>(byte)} << shift;
      shift += 8;
    }
    return value;
  }

  // Up to the next line end, which is taken too.
  std::string_view take_line() {
    const std::string_view rest = as_text(bytes_.subspan(at_));
    const size_t length = rest.find('\n');
    check<DataError>(length != std::string_view::npos, "[pickle] expected a line end: the pickle is truncated");
    at_ += length + 1;
    return rest.substr(0, length);
  }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

}  // namespace polyphony::torch_file
