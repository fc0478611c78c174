// SPDX-License-Identifier: Apache-2.0
// Scene -> words: templates and synonyms drawn at random.
#include "pipelines/data/scenes/grammar.h"

#include "pipelines/data/scenes/lexicon.h"

namespace polyphony::scenes {
namespace {

std::string noun_phrase(const Object& object, std::string_view size_word) {
  std::string phrase(size_word);
  phrase.append(" ").append(kColours[object.colour].name).append(" ").append(kShapes[object.shape]);
  return phrase;
}

std::string object_phrase(const Object& object, Rng& rng) {
  const std::string article = rng.one_in(5) ? "" : "a ";
  const auto noun = article + noun_phrase(object, rng.pick(kSizeWords[object.size]));
  const std::string place(rng.pick(kPlacePhrases[object.place]));
  return rng.one_in(5) ? place + " " + noun : noun + " " + place;
}

// The joint before the last of `count` objects may differ from the others: "A, B and C".
std::string join_objects(const std::vector<std::string>& phrases, Rng& rng) {
  constexpr std::array<std::string_view, 3> kLastJoints{" and ", ", ", ", and "};
  const std::string_view early = rng.one_in(3) ? " and " : ", ";
  const std::string_view last = rng.pick(kLastJoints);
  std::string text = phrases.front();
  for (size_t i = 1; i < phrases.size(); ++i) text.append(i + 1 == phrases.size() ? last : early).append(phrases[i]);
  return text;
}

std::string fill_form(std::string_view form, std::string_view objects, std::string_view background) {
  std::string text;
  for (const char letter : form) {
    if (letter == 'O') {
      text += objects;
    } else if (letter == 'B') {
      text += background;
    } else {
      text += letter;
    }
  }
  return text;
}

}  // namespace

std::string caption(const Scene& scene, Rng& rng) {
  check_scene(scene);
  auto objects = in_place_order(scene).objects;  // the caption must not depend on how the scene lists them
  rng.shuffle(objects);
  std::vector<std::string> phrases;
  for (const auto& object : objects) phrases.push_back(object_phrase(object, rng));
  const auto joined = join_objects(phrases, rng);
  return fill_form(rng.pick(kCaptionForms), joined, kBackgrounds[scene.background].name);
}

std::string canonical_caption(const Scene& scene) {
  check_scene(scene);
  std::string joined;
  for (const auto& object : in_place_order(scene).objects) {
    if (!joined.empty()) joined += " and ";
    joined += "a " + noun_phrase(object, kSizes[object.size]) + " " + std::string(kPlacePhrases[object.place][0]);
  }
  return fill_form(kCaptionForms[0], joined, kBackgrounds[scene.background].name);
}

std::vector<std::string> vocabulary() {
  std::vector<std::string> words;
  for (const auto& word : lexicon()) words.emplace_back(word.text);
  return words;
}

}  // namespace polyphony::scenes
