// SPDX-License-Identifier: Apache-2.0
// What a picture or a caption got right of a scene.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "pipelines/data/scenes/detector.h"
#include "pipelines/data/scenes/grammar.h"
#include "pipelines/data/scenes/scene.h"

namespace polyphony::scenes {

// One object of the truth. Matching is by place: found means that something is at its place, and the others are false
// where nothing is.
struct ObjectComparison {
  bool found = false, colour = false, shape = false, size = false;
};

struct Comparison {
  std::vector<ObjectComparison> objects;  // in the order of the truth's objects
  int extra = 0;                          // objects that are not in the truth, or a second one at a true place
  bool objects_right = false;             // colour, shape and place of all, nothing missing, nothing extra
  bool size_right = false;                // something of the right size at every true place, nothing extra
  bool background_right = false;
  bool exact = false;  // all three; for a caption also: no unknown word and nothing said twice
};

// A detected object below kMinConfidence has a place and a size but no colour and no shape.
Comparison compare(const Detection& detected, const Scene& truth);
Comparison compare(const ParseResult& parsed, const Scene& truth);

// The two headline measures of one example: is the caption a complete and true description in the grammar's words, and
// does the picture show exactly the objects of the truth (colour, shape, place; size and background apart)?
bool caption_exact(std::string_view text, const Scene& truth);
bool picture_right(std::span<const uint8_t> rgb, const Scene& truth);

}  // namespace polyphony::scenes
