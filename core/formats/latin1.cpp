// SPDX-License-Identifier: Apache-2.0
// Latin-1 and UTF-8: every Latin-1 byte is the code point of its value.
#include "core/formats/latin1.h"

#include "core/base/text.h"

namespace polyphony::formats {

std::string latin1_to_utf8(std::string_view latin1) {
  std::string out;
  out.reserve(latin1.size());
  for (const char c : latin1) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xc0 | (byte >> 6));
      out += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return out;
}

std::optional<std::string> utf8_to_latin1(std::string_view utf8) {
  if (!is_utf8(utf8)) return std::nullopt;
  std::string out;
  out.reserve(utf8.size());
  for (size_t i = 0; i < utf8.size(); ++i) {
    const auto byte = static_cast<unsigned char>(utf8[i]);
    if (byte < 0x80) {
      out += utf8[i];
    } else if (byte == 0xc2 || byte == 0xc3) {
      const auto next = static_cast<unsigned char>(utf8[++i]);
      out += static_cast<char>(((byte & 0x03) << 6) | (next & 0x3f));
    } else {
      return std::nullopt;
    }
  }
  return out;
}

}  // namespace polyphony::formats
