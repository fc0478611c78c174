// SPDX-License-Identifier: Apache-2.0
// The few rules of the protocol buffer wire format that small fixed messages need (protobuf.dev, "Encoding").
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace polyphony::formats {

// Builds one message; fields are written in the order of the calls.
class WireWriter {
 public:
  void varint(uint32_t field, uint64_t value);
  void fixed32(uint32_t field, float value);
  void fixed64(uint32_t field, double value);
  void bytes(uint32_t field, std::string_view value);  // also strings, messages and packed lists
  const std::string& str() const { return out_; }

 private:
  void put_varint(uint64_t value);
  std::string out_;
};

enum class WireType : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

// One field as it was read; which members hold depends on the type.
struct WireField {
  uint32_t number = 0;
  WireType type = WireType::varint;
  uint64_t varint = 0;
  double fixed64 = 0;
  float fixed32 = 0;
  std::string_view bytes = {};  // into the message
  size_t offset = 0;            // of the value's first byte in the message
};

// Walks over the fields of one message. Throws DataError for bytes that are no message.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : size_(message.size()), rest_(message) {}
  // False at the end.
  bool next(WireField& field);

 private:
  uint64_t take_varint();
  std::string_view take(uint64_t bytes);
  size_t size_;
  std::string_view rest_;
};

// Little-endian bytes of a number, and back from the first bytes of `from` (which must hold enough).
std::string little_endian(uint64_t value, size_t num_bytes);
uint64_t from_little_endian(std::string_view from, size_t num_bytes);

}  // namespace polyphony::formats
