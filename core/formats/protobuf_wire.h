// SPDX-License-Identifier: Apache-2.0
// A bounds-checked walk over the fields of one protocol buffer message.
// Source: protobuf.dev/programming-guides/encoding.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace polyphony::formats {

enum class WireType : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct WireField {
  uint32_t number = 0;
  WireType type = WireType::varint;
  uint64_t value = 0;        // of a varint, fixed32 or fixed64
  std::string_view bytes{};  // of a length-delimited field: a view of the message
  size_t offset = 0;         // of the value's first byte in the file
};

// Reads field after field. Group fields, which proto3 no longer writes, are refused.
class WireReader {
 public:
  // `offset` is where `message` starts in the file, `source` names the file in messages; both must outlive the reader.
  WireReader(std::string_view message, const std::string& source, size_t offset = 0)
      : message_(message), source_(source), base_(offset) {}

  // False at the end of the message. Throws DataError where the bytes are not a field.
  bool next(WireField& field);

 private:
  uint64_t varint(const char* what);
  std::string_view take(uint64_t size, const char* what);

  std::string_view message_;
  const std::string& source_;
  size_t base_;
  size_t position_ = 0;
};

}  // namespace polyphony::formats
