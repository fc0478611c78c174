// SPDX-License-Identifier: Apache-2.0
// The tables behind the grammar: every phrase that a caption may use and what each word means.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "pipelines/data/scenes/scene.h"

namespace polyphony::scenes {

// Words for each row of kSizes; the first is the canonical one.
inline constexpr std::array<std::array<std::string_view, 3>, kSizes.size()> kSizeWords{
    {{"small", "little", "tiny"}, {"large", "big", "huge"}}};

// Phrases for each row of kPlaces; the first is the canonical one.
inline constexpr std::array<std::array<std::string_view, 3>, kPlaces.size()> kPlacePhrases{
    {{"at the top left", "in the upper left", "in the top left corner"},
     {"at the top", "at the top center", "in the upper middle"},
     {"at the top right", "in the upper right", "in the top right corner"},
     {"on the left", "at the center left", "on the left side"},
     {"in the center", "in the middle", "at the center"},
     {"on the right", "at the center right", "on the right side"},
     {"at the bottom left", "in the lower left", "in the bottom left corner"},
     {"at the bottom", "at the bottom center", "in the lower middle"},
     {"at the bottom right", "in the lower right", "in the bottom right corner"}}};

// Whole captions: O stands for the objects, B for the background's colour. The first is the canonical one.
inline constexpr std::array<std::string_view, 7> kCaptionForms{
    "O on a B background",   "O on a B background", "O against a B background",        "on a B background, O",
    "a B background with O", "O, B background",     "a picture of O on a B background"};

enum class WordKind : uint8_t {
  size,
  colour,
  shape,
  background,  // counts only before the word "background": "a white circle" has no known colour
  row,         // 0 top, 2 bottom
  column,      // 0 left, 2 right
  middle,      // fills the row or column that is not said
  ground,      // the word "background"
  separator,   // begins a new clause
  filler
};

struct Word {
  std::string_view text;
  WordKind kind;
  uint8_t value = 0;  // row of the attribute's table
};

// All words of the grammar. Sorted by text.
std::span<const Word> lexicon();

std::optional<Word> find_word(std::string_view text);

}  // namespace polyphony::scenes
