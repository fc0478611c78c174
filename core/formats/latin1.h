// SPDX-License-Identifier: Apache-2.0
// Latin-1 (ISO 8859-1), the encoding of PNG keywords and plain texts.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace polyphony::formats {

std::string latin1_to_utf8(std::string_view latin1);

// Empty when the text is not UTF-8 or holds a character that Latin-1 lacks.
std::optional<std::string> utf8_to_latin1(std::string_view utf8);

}  // namespace polyphony::formats
