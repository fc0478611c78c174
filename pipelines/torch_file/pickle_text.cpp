// SPDX-License-Identifier: Apache-2.0
// Escapes of Python 2 literals and of the raw-unicode-escape codec.
#include "pipelines/torch_file/pickle_text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::torch_file {
namespace {

// The next `digits` characters after `at` as a number; `at` moves behind them.
uint32_t take_digits(std::string_view text, size_t& at, size_t digits, int base) {
  uint32_t value = 0;
  const std::string_view part = text.substr(std::min(at, text.size()), digits);
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value, base);
  check<DataError>(error == std::errc() && part.size() == digits && end == part.data() + digits,
                   "[pickle] expected an escape of ", digits, " digits, got '", printable(part), "'");
  at += digits;
  return value;
}

void append_utf8(std::string& out, uint32_t code) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  check<DataError>(code <= 0x10FFFF, "[pickle] expected a character up to U+10FFFF, got ", code);
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace

std::string unquote_python(std::string_view literal) {
  const bool quoted =
      literal.size() >= 2 && (literal.front() == '\'' || literal.front() == '"') && literal.back() == literal.front();
  check<DataError>(quoted, "[pickle] expected a string in quotes, got '", printable(literal, 40), "'");
  constexpr std::string_view kLetters = "abfnrtv\\'\"";
  constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
  const std::string_view inner = literal.substr(1, literal.size() - 2);
  std::string out;
  for (size_t at = 0; at < inner.size();) {
    if (inner[at] != '\\') {
      out += inner[at++];
      continue;
    }
    ++at;
    check<DataError>(at < inner.size(), "[pickle] expected a character after '\\'");
    if (const size_t letter = kLetters.find(inner[at]); letter != std::string_view::npos) {
      out += kMeanings[letter];
      ++at;
    } else if (inner[at] == 'x') {
      out += static_cast<char>(take_digits(inner, ++at, 2, 16));
    } else {
      out += static_cast<char>(take_digits(inner, at, 3, 8));
    }
  }
  return out;
}

std::string unescape_unicode(std::string_view line) {
  std::string out;
  for (size_t at = 0; at < line.size();) {
    const bool short_form = line.substr(at).starts_with("\\u");
    if (short_form || line.substr(at).starts_with("\\U")) {
      at += 2;
      append_utf8(out, take_digits(line, at, short_form ? 4 : 8, 16));
    } else {
      append_utf8(out, static_cast<unsigned char>(line[at++]));
    }
  }
  return out;
}

}  // namespace polyphony::torch_file
