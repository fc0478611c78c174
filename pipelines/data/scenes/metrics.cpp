// SPDX-License-Identifier: Apache-2.0
// Counting comparisons and writing the counts down.
#include "pipelines/data/scenes/metrics.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/check.h"

namespace polyphony::scenes {

Interval wilson_interval(const Share& share) {
  if (share.total == 0) return {};
  constexpr double kZ = 1.959963984540054;  // 97.5% quantile of the normal distribution
  const double n = static_cast<double>(share.total), p = share.rate();
  const double scale = 1.0 / (1.0 + kZ * kZ / n);
  const double middle = (p + kZ * kZ / (2.0 * n)) * scale;
  const double half = kZ * scale * std::sqrt(p * (1.0 - p) / n + kZ * kZ / (4.0 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

void add(SceneMetrics& metrics, const Comparison& comparison, const Scene& truth) {
  check_scene(truth);
  check<ShapeError>(comparison.objects.size() == truth.objects.size(), "[scene_metrics] expected a comparison of ",
                    truth.objects.size(), " objects, got ", comparison.objects.size());
  metrics.exact.add(comparison.exact);
  metrics.objects.add(comparison.objects_right);
  metrics.sizes.add(comparison.size_right);
  metrics.backgrounds.add(comparison.background_right);
  metrics.by_num_objects[truth.objects.size() - 1].add(comparison.objects_right);
  for (size_t i = 0; i < truth.objects.size(); ++i) {
    const auto& match = comparison.objects[i];
    metrics.object_found.add(match.found);
    metrics.object_colour.add(match.colour);
    metrics.object_shape.add(match.shape);
    metrics.object_size.add(match.size);
    metrics.by_colour[truth.objects[i].colour].add(match.colour);
    metrics.by_shape[truth.objects[i].shape].add(match.shape);
    metrics.by_place[truth.objects[i].place].add(match.found);
  }
  metrics.extra_objects += comparison.extra;
}

nlohmann::json to_json(const Share& share) {
  const auto interval = wilson_interval(share);
  return {{"rate", share.rate()},
          {"low95", interval.low},
          {"high95", interval.high},
          {"hits", share.hits},
          {"total", share.total}};
}

nlohmann::json to_json(const SceneMetrics& metrics) {
  nlohmann::json json{{"exact", to_json(metrics.exact)},
                      {"objects_right", to_json(metrics.objects)},
                      {"size_right", to_json(metrics.sizes)},
                      {"background_right", to_json(metrics.backgrounds)},
                      {"object_found", to_json(metrics.object_found)},
                      {"object_colour", to_json(metrics.object_colour)},
                      {"object_shape", to_json(metrics.object_shape)},
                      {"object_size", to_json(metrics.object_size)},
                      {"extra_objects", metrics.extra_objects}};
  for (size_t i = 0; i < kColours.size(); ++i)
    json["by_colour"][std::string(kColours[i].name)] = to_json(metrics.by_colour[i]);
  for (size_t i = 0; i < kShapes.size(); ++i) json["by_shape"][std::string(kShapes[i])] = to_json(metrics.by_shape[i]);
  for (size_t i = 0; i < kPlaces.size(); ++i) json["by_place"][std::string(kPlaces[i])] = to_json(metrics.by_place[i]);
  for (size_t i = 0; i < metrics.by_num_objects.size(); ++i)
    json["by_num_objects"][std::to_string(i + 1)] = to_json(metrics.by_num_objects[i]);
  return json;
}

}  // namespace polyphony::scenes
