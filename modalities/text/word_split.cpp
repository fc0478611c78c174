// SPDX-License-Identifier: Apache-2.0
#include "modalities/text/word_split.h"

#include "core/base/unicode.h"

namespace polyphony::text {
namespace {

CharClass class_at(std::string_view text) { return char_class(first_char(text).value); }

// Bytes of the run of one class that the text begins with, and of its last character.
struct Run {
  size_t bytes = 0, last = 0;
};
Run run_of(std::string_view text, CharClass kind) {
  Run run;
  while (run.bytes < text.size()) {
    const auto c = first_char(text.substr(run.bytes));
    if (char_class(c.value) != kind) break;
    run = {run.bytes + c.bytes, c.bytes};
  }
  return run;
}

}  // namespace

size_t first_word(std::string_view text) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (text.starts_with(ending)) return ending.size();
  const size_t blank = text.front() == ' ' ? 1 : 0;
  const auto rest = text.substr(blank);
  if (!rest.empty() && class_at(rest) != CharClass::space) return blank + run_of(rest, class_at(rest)).bytes;
  const auto spaces = run_of(text, CharClass::space);
  const bool at_end = spaces.bytes == text.size(), alone = spaces.bytes == spaces.last;
  return at_end || alone ? spaces.bytes : spaces.bytes - spaces.last;
}

}  // namespace polyphony::text
