// SPDX-License-Identifier: Apache-2.0
// UTF-8 and Latin-1.
#include "core/formats/utf8.h"

namespace polyphony::formats {
namespace {

struct Lead {
  int num_following;
  unsigned char second_min;
  unsigned char second_max;
};

// Rows of Unicode 15, table 3-7: what may follow a first byte. num_following < 0: no character begins so.
Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {0, 0, 0};
  if (byte < 0xc2) return {-1, 0, 0};
  if (byte < 0xe0) return {1, 0x80, 0xbf};
  if (byte == 0xe0) return {2, 0xa0, 0xbf};
  if (byte == 0xed) return {2, 0x80, 0x9f};
  if (byte < 0xf0) return {2, 0x80, 0xbf};
  if (byte == 0xf0) return {3, 0x90, 0xbf};
  if (byte < 0xf4) return {3, 0x80, 0xbf};
  if (byte == 0xf4) return {3, 0x80, 0x8f};
  return {-1, 0, 0};
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Lead lead = lead_of(static_cast<unsigned char>(text[i++]));
    if (lead.num_following < 0 || text.size() - i < static_cast<size_t>(lead.num_following)) return false;
    for (int k = 0; k < lead.num_following; ++k, ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      const unsigned char lowest = k == 0 ? lead.second_min : 0x80;
      const unsigned char highest = k == 0 ? lead.second_max : 0xbf;
      if (byte < lowest || byte > highest) return false;
    }
  }
  return true;
}

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
