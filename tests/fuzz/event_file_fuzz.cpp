// SPDX-License-Identifier: Apache-2.0
// libFuzzer entry: any bytes as an event file, and as a message inside a record whose checksums hold, give events or a
// DataError.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/formats/crc32c.h"
#include "core/formats/event_file.h"

namespace {

std::string little_endian(uint64_t value, size_t num_bytes) {
  std::string out;
  for (size_t i = 0; i < num_bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
  return out;
}

// Random bytes never carry a right checksum, so the parser behind it would stay untouched.
std::string framed(std::string_view message) {
  using polyphony::formats::masked_crc32c;
  const std::string length = little_endian(message.size(), 8);
  return length + little_endian(masked_crc32c(length), 4) + std::string(message) +
         little_endian(masked_crc32c(message), 4);
}

void parse(std::string_view bytes) {
  try {
    polyphony::formats::parse_event_file(bytes, "fuzz");
  } catch (const polyphony::DataError&) {
    return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  parse(bytes);
  parse(framed(bytes));
  return 0;
}
