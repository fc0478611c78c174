// SPDX-License-Identifier: Apache-2.0
#include "pipelines/data/scenes/explain.h"

#include <algorithm>

namespace polyphony::scenes {
namespace {

std::string name_of(const Object& object) {
  return "a " + std::string(kSizes[object.size]) + " " + std::string(kColours[object.colour].name) + " " +
         std::string(kShapes[object.shape]);
}

std::string name_of(const DetectedObject& seen) {
  if (seen.confidence >= kMinConfidence) return name_of(seen.object);
  return "something like " + name_of(seen.object) + ", but too unlike any shape or colour,";
}

// What is at each place, the surest first, as compare() matches it.
std::vector<DetectedObject> seen_at(const Detection& seen, int place) {
  std::vector<DetectedObject> out;
  for (const auto& object : seen.objects)
    if (object.object.place == place) out.push_back(object);
  std::ranges::stable_sort(out, std::ranges::greater{}, &DetectedObject::confidence);
  return out;
}

}  // namespace

std::vector<std::string> differences(const Detection& seen, const Scene& asked) {
  std::vector<std::string> out;
  for (int place = 0; place < std::ssize(kPlaces); ++place) {
    const auto where = std::string(kPlaces[static_cast<size_t>(place)]) + ": ";
    const auto wanted = std::ranges::find(asked.objects, place, &Object::place);
    auto there = seen_at(seen, place);
    if (wanted != asked.objects.end()) {
      if (there.empty()) {
        out.push_back(where + name_of(*wanted) + " was asked for, nothing is there");
        continue;
      }
      const auto& found = there.front();
      const bool right = found.confidence >= kMinConfidence && found.object.colour == wanted->colour &&
                         found.object.shape == wanted->shape;
      if (!right) out.push_back(where + name_of(*wanted) + " was asked for, " + name_of(found) + " is there");
      there.erase(there.begin());
    }
    for (const auto& extra : there) out.push_back(where + name_of(extra) + " is there, which nobody asked for");
  }
  if (seen.background != asked.background)
    out.push_back("background: " + std::string(kBackgrounds[asked.background].name) + " was asked for, " +
                  std::string(kBackgrounds[seen.background].name) + " is there");
  return out;
}

}  // namespace polyphony::scenes
