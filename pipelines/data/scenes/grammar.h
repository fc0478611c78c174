// SPDX-License-Identifier: Apache-2.0
// The language of scenes: captions of varied wording from a scene, and the scene back from any such caption.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/data/scenes/rng.h"
#include "pipelines/data/scenes/scene.h"

namespace polyphony::scenes {

// A caption that names the background and every object's size, colour, shape and place; objects in random order,
// wording drawn from templates and synonyms. Lower case words, single spaces, commas after words.
// "a tiny red circle at the top left and a large blue star in the center on a white background"
std::string caption(const Scene& scene, Rng& rng);

// The one plain wording: objects by place, canonical names.
std::string canonical_caption(const Scene& scene);

struct ParseResult {
  std::optional<Scene> scene;              // present where `problems` is empty; in place order
  std::optional<uint8_t> background;       // what was understood, also when something is missing
  std::vector<PartialObject> objects;      // likewise, one a clause, in the order of the text
  std::vector<std::string> unknown_words;  // not in vocabulary(), in the order of the text; they are otherwise ignored
  std::vector<std::string> problems;       // sentences for the user: what is missing, said twice or impossible
};

// Understands every caption of this grammar and free orders of the same words. Never throws; case and punctuation do
// not matter. Clauses (split at commas, "and", "with" and the background phrase) hold one object each.
ParseResult parse_caption(std::string_view text);

// Every word that caption() can say, sorted, without the comma.
std::vector<std::string> vocabulary();

}  // namespace polyphony::scenes
