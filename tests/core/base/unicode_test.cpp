// SPDX-License-Identifier: Apache-2.0
#include "core/base/unicode.h"

#include <gtest/gtest.h>

namespace polyphony {
namespace {

TEST(Unicode, KnowsLettersNumbersAndSpaces) {
  for (const char32_t c : std::u32string(U"aZßщ日क\u01C5\U00010400"))
    EXPECT_EQ(char_class(c), CharClass::letter) << static_cast<uint32_t>(c);
  for (const char32_t c : std::u32string(U"09²½Ⅷ٣\U0001D7D8"))
    EXPECT_EQ(char_class(c), CharClass::number) << static_cast<uint32_t>(c);
  for (const char32_t c : std::u32string(U" \t\n\r\u0085\u00A0\u2003\u3000"))
    EXPECT_EQ(char_class(c), CharClass::space) << static_cast<uint32_t>(c);
  for (const char32_t c : std::u32string(U"_!$\u0301\u200B\U0001F389\u001C"))
    EXPECT_EQ(char_class(c), CharClass::other) << static_cast<uint32_t>(c);
  EXPECT_EQ(char_class(kIllFormed + 0xFF), CharClass::other);
}

TEST(Unicode, ReadsAndWritesEveryLengthOfCharacterAndStrayBytes) {
  for (const std::string text : {"a", "é", "日", "🎉"}) {
    EXPECT_EQ(first_char(text + "x").bytes, text.size());
    std::string written;
    append_utf8(written, first_char(text).value);
    EXPECT_EQ(written, text);
  }
  for (const std::string text : {"\xff", "\xc3", "\xe6\x97", "\xed\xa0\x80", "\xc0\x80", "\x80"}) {
    EXPECT_EQ(first_char(text).bytes, 1U);
    std::string written;
    append_utf8(written, first_char(text).value);
    EXPECT_EQ(written, text.substr(0, 1));
  }
}

// Examples of Unicode Standard Annex 15 and its conformance test.
TEST(Unicode, ComposesCanonically) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"plain", "plain"},
      {"e\u0301", "\u00E9"},
      {"\u212B", "\u00C5"},              // a singleton
      {"\u1E9B\u0323", "\u1E9B\u0323"},  // a mark that cannot pass
      {"q\u0307\u0323", "q\u0323\u0307"},
      {"s\u0323\u0307", "\u1E69"},
      {"s\u0307\u0323", "\u1E69"},
      {"\u1100\u1161\u11A8", "\uAC01"},
      {"\uAC00\u11A8", "\uAC01"},
      {"\u0958", "\u0915\u093C"},  // excluded from composition
      {"\u0344", "\u0308\u0301"},
      {"\uFB01", "\uFB01"},  // compatibility stays
      {"a\u0315\u0300\u05AE\u0300b", "\u00E0\u05AE\u0300\u0315b"},
      {"e\xcc\x81\xff", "\u00E9\xff"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(normalise_nfc(text), expected) << text;
}

}  // namespace
}  // namespace polyphony
