// SPDX-License-Identifier: Apache-2.0
// Matches what was found with the truth, place by place.
#include "pipelines/data/scenes/compare.h"

#include <algorithm>

namespace polyphony::scenes {
namespace {

// `found` may be in any order; of two at one place the earlier is matched.
Comparison match_by_place(std::vector<PartialObject> found, std::optional<uint8_t> background, const Scene& truth) {
  Comparison result;
  for (const auto& object : truth.objects) {
    auto& match = result.objects.emplace_back();
    const auto at = std::ranges::find(found, std::optional(object.place), &PartialObject::place);
    if (at == found.end()) continue;
    match = {.found = true,
             .colour = at->colour == object.colour,
             .shape = at->shape == object.shape,
             .size = at->size == object.size};
    found.erase(at);
  }
  result.extra = static_cast<int>(found.size());
  const auto all = [&](auto right) { return result.extra == 0 && std::ranges::all_of(result.objects, right); };
  result.objects_right = all([](const ObjectComparison& match) { return match.colour && match.shape; });
  result.size_right = all([](const ObjectComparison& match) { return match.size; });
  result.background_right = background == truth.background;
  result.exact = result.objects_right && result.size_right && result.background_right;
  return result;
}

}  // namespace

Comparison compare(const Detection& detected, const Scene& truth) {
  auto objects = detected.objects;
  std::ranges::stable_sort(objects, std::ranges::greater{}, &DetectedObject::confidence);
  std::vector<PartialObject> found;
  for (const auto& [object, confidence] : objects) {
    auto& partial =
        found.emplace_back(PartialObject{.size = object.size, .colour = {}, .shape = {}, .place = object.place});
    if (confidence < kMinConfidence) continue;
    partial.colour = object.colour;
    partial.shape = object.shape;
  }
  return match_by_place(std::move(found), detected.background, truth);
}

Comparison compare(const ParseResult& parsed, const Scene& truth) {
  auto result = match_by_place(parsed.objects, parsed.background, truth);
  result.exact = result.exact && parsed.scene && parsed.unknown_words.empty();
  return result;
}

bool caption_exact(std::string_view text, const Scene& truth) { return compare(parse_caption(text), truth).exact; }

bool picture_right(std::span<const uint8_t> rgb, const Scene& truth) {
  return compare(detect_scene(rgb), truth).objects_right;
}

}  // namespace polyphony::scenes
