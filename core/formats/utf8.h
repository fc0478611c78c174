// SPDX-License-Identifier: Apache-2.0
// UTF-8 and Latin-1.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace polyphony::formats {

// Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF (Unicode 15, table 3-7).
bool is_utf8(std::string_view text);

std::string latin1_to_utf8(std::string_view latin1);

// Empty when the text is not UTF-8 or holds a character that Latin-1 lacks.
std::optional<std::string> utf8_to_latin1(std::string_view utf8);

}  // namespace polyphony::formats
