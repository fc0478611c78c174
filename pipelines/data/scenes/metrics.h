// SPDX-License-Identifier: Apache-2.0
// Comparisons counted over an evaluation set: shares with 95% intervals, by attribute and by value.
#pragma once
#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "pipelines/data/scenes/compare.h"

namespace polyphony::scenes {

struct Share {
  int64_t hits = 0;
  int64_t total = 0;

  void add(bool hit) {
    hits += hit ? 1 : 0;
    ++total;
  }
  double rate() const { return total == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(total); }
};

struct Interval {
  double low = 0.0;
  double high = 1.0;
};

// 95% interval of the rate behind a share; [0, 1] for an empty one.
// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
Interval wilson_interval(const Share& share);

// Everything counted over examples of one kind. For captions `exact` is caption_exact; for pictures `objects` is
// picture_right.
struct SceneMetrics {
  // Over examples.
  Share exact;
  Share objects;
  Share sizes;
  Share backgrounds;
  // Over the truth's objects.
  Share object_found;
  Share object_colour;
  Share object_shape;
  Share object_size;
  std::array<Share, kColours.size()> by_colour;   // colour right, by true colour
  std::array<Share, kShapes.size()> by_shape;     // shape right, by true shape
  std::array<Share, kPlaces.size()> by_place;     // found, by true place
  std::array<Share, kMaxObjects> by_num_objects;  // objects right, by number of objects - 1
  int64_t extra_objects = 0;
};

// Throws ShapeError if the comparison was made with a scene of another number of objects.
void add(SceneMetrics& metrics, const Comparison& comparison, const Scene& truth);

// {"rate": 0.98, "low95": 0.97, "high95": 0.99, "hits": 490, "total": 500}
nlohmann::json to_json(const Share& share);

// One object a share: exact, objects_right, size_right, background_right, object_{found, colour, shape, size}; tables
// by_colour, by_shape, by_place, by_num_objects; extra_objects.
nlohmann::json to_json(const SceneMetrics& metrics);

}  // namespace polyphony::scenes
