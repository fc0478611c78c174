// SPDX-License-Identifier: Apache-2.0
// Handcrafted PNG chunks.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace polyphony::testing {

inline std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

// PNG specification, annex D, one bit at a time.
inline uint32_t crc32(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) ? (crc >> 1) ^ 0xedb88320 : crc >> 1;
  }
  return ~crc;
}

inline std::string png_chunk(std::string_view type, std::string_view data) {
  const std::string body = std::string(type) + std::string(data);
  return big_endian(static_cast<uint32_t>(data.size())) + body + big_endian(crc32(body));
}

inline std::string png_head() {
  using std::string_view_literals::operator""sv;
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", "\0\0\0\1\0\0\0\1\x08\0\0\0\0"sv);
}

// Signature, IHDR of one grey pixel, `chunks`, IEND. Without IDAT, which nobody here decodes.
inline std::string png_file(std::string_view chunks) {
  return png_head() + std::string(chunks) + png_chunk("IEND", "");
}

}  // namespace polyphony::testing
