// SPDX-License-Identifier: Apache-2.0
#include "core/formats/protobuf_wire.h"

#include "core/check.h"

namespace polyphony::formats {
namespace {

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

}  // namespace

uint64_t WireReader::varint(const char* what) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    check<DataError>(position_ < message_.size(), "[protobuf] ", source_, ": expected ", what, " at byte ",
                     base_ + position_, ", got the end");
    const auto byte = static_cast<uint8_t>(message_[position_++]);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail<DataError>("[protobuf] ", source_, ": expected ", what, " of at most 10 bytes before byte ", base_ + position_);
}

std::string_view WireReader::take(uint64_t size, const char* what) {
  const size_t left = message_.size() - position_;
  check<DataError>(size <= left, "[protobuf] ", source_, ": expected ", size, " bytes of ", what, " at byte ",
                   base_ + position_, ", got ", left);
  const std::string_view bytes = message_.substr(position_, size);
  position_ += size;
  return bytes;
}

bool WireReader::next(WireField& field) {
  if (position_ == message_.size()) return false;
  const size_t start = base_ + position_;
  const uint64_t key = varint("a field key");
  field = {.number = static_cast<uint32_t>(key >> 3), .type = static_cast<WireType>(key & 7)};
  check<DataError>(key >> 3 >= 1 && key >> 3 < uint64_t{1} << 29, "[protobuf] ", source_,
                   ": expected a field number at byte ", start, ", got ", key >> 3);
  const uint64_t size = field.type == WireType::bytes ? varint("a length") : 0;
  field.offset = base_ + position_;
  switch (field.type) {
    case WireType::varint:
      field.value = varint("a number");
      return true;
    case WireType::fixed64:
      field.value = little_endian(take(8, "a number"));
      return true;
    case WireType::fixed32:
      field.value = little_endian(take(4, "a number"));
      return true;
    case WireType::bytes:
      field.bytes = take(size, "a field");
      return true;
  }
  fail<DataError>("[protobuf] ", source_, ": expected a wire type of 0, 1, 2 or 5 at byte ", start, ", got ", key & 7);
}

}  // namespace polyphony::formats
