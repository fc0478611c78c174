// SPDX-License-Identifier: Apache-2.0
#include "core/base/unicode.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "core/base/text.h"

namespace polyphony {
namespace {

struct ClassRange {
  char32_t first, last;
  uint8_t value;  // of CharClass
};
struct CombiningRange {
  char32_t first, last;
  uint8_t order;  // canonical combining class
};
struct Decomposition {
  char32_t composed, first, second;  // second 0: of one character alone
  bool composes;                     // back again
};
#include "core/base/unicode_tables.inc"

// The Hangul syllables, by arithmetic (chapter 3.12 of the standard).
constexpr char32_t kSyllable = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kTail = 0x11A7;
constexpr char32_t kVowels = 21, kTails = 28, kLeads = 19, kSyllables = kLeads * kVowels * kTails;

template <class Range, size_t N>
const Range* find_range(const Range (&table)[N], char32_t c) {
  const auto* it = std::upper_bound(std::begin(table), std::end(table), c,
                                    [](char32_t value, const Range& range) { return value < range.first; });
  return it == std::begin(table) || c > (it - 1)->last ? nullptr : it - 1;
}

uint8_t combining_order(char32_t c) {
  const auto* range = find_range(kCombining, c);
  return range ? range->order : 0;
}

void decompose(char32_t c, std::u32string& out) {
  if (c >= kSyllable && c < kSyllable + kSyllables) {
    const char32_t index = c - kSyllable, tail = index % kTails;
    out += kLead + index / (kVowels * kTails);
    out += kVowel + index / kTails % kVowels;
    if (tail > 0) out += kTail + tail;
    return;
  }
  const auto* it = std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), c,
                                    [](const Decomposition& row, char32_t value) { return row.composed < value; });
  if (it == std::end(kDecompositions) || it->composed != c) {
    out += c;
    return;
  }
  decompose(it->first, out);
  if (it->second) decompose(it->second, out);
}

// 0 where the two do not compose.
char32_t compose(char32_t a, char32_t b) {
  if (a >= kLead && a < kLead + kLeads && b >= kVowel && b < kVowel + kVowels)
    return kSyllable + ((a - kLead) * kVowels + (b - kVowel)) * kTails;
  const bool open_syllable = a >= kSyllable && a < kSyllable + kSyllables && (a - kSyllable) % kTails == 0;
  if (open_syllable && b > kTail && b < kTail + kTails) return a + (b - kTail);
  static const auto pairs = [] {
    std::map<std::pair<char32_t, char32_t>, char32_t> map;
    for (const auto& row : kDecompositions)
      if (row.composes) map[{row.first, row.second}] = row.composed;
    return map;
  }();
  const auto it = pairs.find({a, b});
  return it == pairs.end() ? 0 : it->second;
}

void sort_marks(std::u32string& text) {
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && combining_order(text[end]) != 0) ++end;
    std::stable_sort(text.begin() + static_cast<std::ptrdiff_t>(i), text.begin() + static_cast<std::ptrdiff_t>(end),
                     [](char32_t a, char32_t b) { return combining_order(a) < combining_order(b); });
    i = std::max(end, i + 1);
  }
}

std::u32string composed(const std::u32string& text) {
  std::u32string out;
  size_t starter = std::u32string::npos;
  uint8_t last = 0;  // order of the character before, 0 right behind the starter
  for (const char32_t c : text) {
    const auto order = combining_order(c);
    const bool adjacent = starter != std::u32string::npos && starter + 1 == out.size();
    const bool reachable = starter != std::u32string::npos && (adjacent || last < order);
    if (const char32_t joined = reachable ? compose(out[starter], c) : 0) {
      out[starter] = joined;
      continue;
    }
    if (order == 0) starter = out.size();
    last = order;
    out += c;
  }
  return out;
}

}  // namespace

CharClass char_class(char32_t c) {
  constexpr char32_t kSpaces[] = {0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
  const bool space = (c >= 9 && c <= 13) || (c >= 0x2000 && c <= 0x200A) ||
                     std::find(std::begin(kSpaces), std::end(kSpaces), c) != std::end(kSpaces);
  if (space) return CharClass::space;
  const auto* range = find_range(kClasses, c);
  return range ? static_cast<CharClass>(range->value) : CharClass::other;
}

Utf8Char first_char(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text.front());
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (bytes > text.size() || !is_utf8(text.substr(0, bytes))) return {kIllFormed + lead, 1};
  char32_t value = lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) value = value << 6 | (static_cast<uint8_t>(text[i]) & 0x3Fu);
  return {value, bytes};
}

void append_utf8(std::string& text, char32_t c) {
  const auto add = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (c >= kIllFormed) return add(c - kIllFormed);
  if (c < 0x80) return add(c);
  if (c < 0x800) {
    add(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      add(0xE0 | c >> 12);
    } else {
      add(0xF0 | c >> 18);
      add(0x80 | (c >> 12 & 0x3F));
    }
    add(0x80 | (c >> 6 & 0x3F));
  }
  add(0x80 | (c & 0x3F));
}

std::string normalise_nfc(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  if (ascii) return std::string(text);
  std::u32string characters;
  while (!text.empty()) {
    const auto c = first_char(text);
    decompose(c.value, characters);
    text.remove_prefix(c.bytes);
  }
  sort_marks(characters);
  std::string out;
  for (const char32_t c : composed(characters)) append_utf8(out, c);
  return out;
}

}  // namespace polyphony
