// SPDX-License-Identifier: Apache-2.0
#include "core/formats/protobuf_wire.h"

#include <bit>

#include "core/check.h"

namespace polyphony::formats {

std::string little_endian(uint64_t value, size_t num_bytes) {
  std::string out;
  for (size_t i = 0; i < num_bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
  return out;
}

uint64_t from_little_endian(std::string_view from, size_t num_bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < num_bytes; ++i) value |= uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
  return value;
}

void WireWriter::put_varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) out_ += static_cast<char>((value & 0x7F) | 0x80);
  out_ += static_cast<char>(value);
}

void WireWriter::varint(uint32_t field, uint64_t value) {
  put_varint(uint64_t{field} << 3);
  put_varint(value);
}

void WireWriter::fixed32(uint32_t field, float value) {
  put_varint(uint64_t{field} << 3 | 5);
  out_ += little_endian(std::bit_cast<uint32_t>(value), 4);
}

void WireWriter::fixed64(uint32_t field, double value) {
  put_varint(uint64_t{field} << 3 | 1);
  out_ += little_endian(std::bit_cast<uint64_t>(value), 8);
}

void WireWriter::bytes(uint32_t field, std::string_view value) {
  put_varint(uint64_t{field} << 3 | 2);
  put_varint(value.size());
  out_ += value;
}

std::string_view WireReader::take(uint64_t bytes) {
  check<DataError>(bytes <= rest_.size(), "[protobuf] expected ", bytes, " more bytes, got ", rest_.size());
  const auto out = rest_.substr(0, bytes);
  rest_.remove_prefix(bytes);
  return out;
}

uint64_t WireReader::take_varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(take(1)[0]);
    check<DataError>(shift < 63 || byte <= 1, "[protobuf] expected a varint of 64 bits, got a longer one");
    value |= uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
  fail<DataError>("[protobuf] expected the end of a varint, got more than 10 bytes");
}

bool WireReader::next(WireField& field) {
  if (rest_.empty()) return false;
  const uint64_t tag = take_varint();
  check<DataError>(tag >> 3 > 0 && tag >> 3 < (uint64_t{1} << 29), "[protobuf] expected a field number, got ",
                   tag >> 3);
  field = {.number = static_cast<uint32_t>(tag >> 3), .type = static_cast<WireType>(tag & 7)};
  field.offset = size_ - rest_.size();
  switch (field.type) {
    case WireType::varint:
      field.varint = take_varint();
      break;
    case WireType::fixed64:
      field.fixed64 = std::bit_cast<double>(from_little_endian(take(8), 8));
      break;
    case WireType::bytes:
      field.bytes = take(take_varint());
      field.offset = size_ - rest_.size() - field.bytes.size();
      break;
    case WireType::fixed32:
      field.fixed32 = std::bit_cast<float>(static_cast<uint32_t>(from_little_endian(take(4), 4)));
      break;
    default:
      fail<DataError>("[protobuf] expected wire type 0, 1, 2 or 5, got ", tag & 7);
  }
  return true;
}

}  // namespace polyphony::formats
