// SPDX-License-Identifier: Apache-2.0
// The meaning of each word, gathered from the attribute tables once.
#include "pipelines/data/scenes/lexicon.h"

#include <algorithm>
#include <vector>

namespace polyphony::scenes {
namespace {

constexpr std::array kStructureWords{
    Word{"top", WordKind::row, 0},    Word{"upper", WordKind::row, 0},   Word{"bottom", WordKind::row, 2},
    Word{"lower", WordKind::row, 2},  Word{"left", WordKind::column, 0}, Word{"right", WordKind::column, 2},
    Word{"center", WordKind::middle}, Word{"middle", WordKind::middle},  Word{"background", WordKind::ground},
    Word{"and", WordKind::separator}, Word{"with", WordKind::separator}, Word{"a", WordKind::filler},
    Word{"the", WordKind::filler},    Word{"at", WordKind::filler},      Word{"in", WordKind::filler},
    Word{"on", WordKind::filler},     Word{"of", WordKind::filler},      Word{"against", WordKind::filler},
    Word{"corner", WordKind::filler}, Word{"side", WordKind::filler},    Word{"picture", WordKind::filler}};

std::vector<Word> gather_words() {
  std::vector<Word> words(kStructureWords.begin(), kStructureWords.end());
  for (uint8_t row = 0; row < kSizes.size(); ++row) {
    for (const auto text : kSizeWords[row]) words.push_back({text, WordKind::size, row});
  }
  for (uint8_t row = 0; row < kColours.size(); ++row) words.push_back({kColours[row].name, WordKind::colour, row});
  for (uint8_t row = 0; row < kShapes.size(); ++row) words.push_back({kShapes[row], WordKind::shape, row});
  for (uint8_t row = 0; row < kBackgrounds.size(); ++row)
    words.push_back({kBackgrounds[row].name, WordKind::background, row});
  std::ranges::sort(words, {}, &Word::text);
  return words;
}

}  // namespace

std::span<const Word> lexicon() {
  static const std::vector<Word> words = gather_words();
  return words;
}

std::optional<Word> find_word(std::string_view text) {
  const auto words = lexicon();
  const auto found = std::ranges::lower_bound(words, text, {}, &Word::text);
  if (found == words.end() || found->text != text) return std::nullopt;
  return *found;
}

}  // namespace polyphony::scenes
