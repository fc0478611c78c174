// SPDX-License-Identifier: Apache-2.0
// The fixed hash that holds combinations out, and drawing by rejection.
#include "pipelines/data/scenes/split.h"

#include <algorithm>
#include <numeric>

namespace polyphony::scenes {
namespace {

constexpr uint64_t kSplitSalt = 0x5ce7e5;
constexpr uint64_t kHeldOutOneIn = 10;

std::vector<Object> random_objects(Rng& rng, uint32_t count) {
  std::array<uint8_t, kPlaces.size()> places{};
  std::iota(places.begin(), places.end(), uint8_t{0});
  rng.shuffle(places);
  std::vector<Object> objects(count);
  for (uint32_t i = 0; i < count; ++i) {
    objects[i] = {.size = static_cast<uint8_t>(rng.below(kSizes.size())),
                  .colour = static_cast<uint8_t>(rng.below(kColours.size())),
                  .shape = static_cast<uint8_t>(rng.below(kShapes.size())),
                  .place = places[i]};
  }
  return objects;
}

}  // namespace

bool is_held_out(const Object& object) {
  const uint64_t combination =
      (uint64_t{object.shape} * kColours.size() + object.colour) * kPlaces.size() + object.place;
  return mix64(kSplitSalt + combination) % kHeldOutOneIn == 0;
}

bool belongs(const Scene& scene, Split split) {
  return split == Split::any || std::ranges::any_of(scene.objects, is_held_out) == (split == Split::held_out);
}

Scene random_scene(Rng& rng, Split split) {
  Scene scene{.background = static_cast<uint8_t>(rng.below(kBackgrounds.size())), .objects = {}};
  const uint32_t count = 1 + rng.below(kMaxObjects);  // drawn once: rejection must not favour scenes with few objects
  do {
    scene.objects = random_objects(rng, count);
  } while (!belongs(scene, split));
  return in_place_order(std::move(scene));
}

}  // namespace polyphony::scenes
