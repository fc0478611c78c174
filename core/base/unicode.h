// SPDX-License-Identifier: Apache-2.0
// What a byte-level tokenizer needs of Unicode: classes of characters and canonical composition (NFC).
// Bytes that are not UTF-8 pass through everything as they are.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace polyphony {

// Letters (category L), numbers (N), and white space (the property White_Space).
enum class CharClass : uint8_t { other, letter, number, space };
CharClass char_class(char32_t character);

struct Utf8Char {
  char32_t value = 0;  // of an ill-formed byte: kIllFormed + byte, a character of class other
  size_t bytes = 0;    // 1 to 4
};
inline constexpr char32_t kIllFormed = 0x110000;

// The first character of text that is not empty.
Utf8Char first_char(std::string_view text);
void append_utf8(std::string& text, char32_t character);

// Source: Unicode Standard Annex 15, canonical decomposition followed by canonical composition.
std::string normalise_nfc(std::string_view text);

}  // namespace polyphony
