// SPDX-License-Identifier: Apache-2.0
// Templates of all shapes and radii, made once, and the search for the largest overlap.
#include "pipelines/data/scenes/shape_match.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "pipelines/data/scenes/render.h"

namespace polyphony::scenes {
namespace {

constexpr float kLeastRadius = 4.0f, kLargestRadius = 14.5f, kRadiusStep = 0.5f;
constexpr float kLongestShape = 1.15f;  // the furthest that any shape reaches along an axis, in radii
constexpr int kMaxShift = 2;            // pixels

struct Template {
  uint8_t shape;
  float radius;
  float area;
  int reach;  // no coverage further than this from the middle, pixels
  Coverage coverage;
};

std::vector<Template> make_templates() {
  std::vector<Template> templates;
  for (uint8_t shape = 0; shape < kShapes.size(); ++shape) {
    for (float radius = kLeastRadius; radius <= kLargestRadius; radius += kRadiusStep) {
      const auto mask = shape_mask(shape, radius);
      const int reach = std::min(static_cast<int>(std::ceil(radius * kLongestShape)), kCellSize / 2);
      Template made{.shape = shape, .radius = radius, .area = 0.0f, .reach = reach, .coverage = {}};
      std::ranges::transform(mask, made.coverage.begin(), [](uint8_t value) { return value / 255.0f; });
      made.area = std::accumulate(made.coverage.begin(), made.coverage.end(), 0.0f);
      templates.push_back(made);
    }
  }
  return templates;
}

// Sum of minima with the patch moved by (dx, dy) against the template; what moves out of the patch is lost.
float common_area(const Coverage& patch, const Template& shape, int dx, int dy) {
  const int first = kCellSize / 2 - shape.reach, last = kCellSize / 2 + shape.reach;
  float common = 0.0f;
  for (int y = std::max(first, -dy); y < std::min(last, kCellSize - dy); ++y) {
    const float* patch_row = patch.data() + (y + dy) * kCellSize + dx;
    const float* shape_row = shape.coverage.data() + y * kCellSize;
    for (int x = std::max(first, -dx); x < std::min(last, kCellSize - dx); ++x)
      common += std::min(patch_row[x], shape_row[x]);
  }
  return common;
}

// The largest overlap that a template can reach with a patch of another area.
float overlap_bound(float a, float b) { return std::min(a, b) / std::max(a, b); }

uint8_t nearest_size(float radius) {
  const auto gap = [radius](float size_radius) { return std::abs(std::log(radius / size_radius)); };
  return static_cast<uint8_t>(std::ranges::min_element(kRadii, {}, gap) - kRadii.begin());
}

}  // namespace

ShapeMatch match_shape(const Coverage& coverage) {
  static const std::vector<Template> templates = make_templates();
  const float area = std::accumulate(coverage.begin(), coverage.end(), 0.0f);
  std::vector<const Template*> candidates;
  for (const auto& candidate : templates) candidates.push_back(&candidate);
  // The likeliest first, so that the bound ends the search early.
  const auto bound = [area](const Template* candidate) { return overlap_bound(area, candidate->area); };
  std::ranges::stable_sort(candidates, std::ranges::greater{}, bound);
  ShapeMatch best;
  for (const auto* candidate : candidates) {
    if (bound(candidate) <= best.overlap) break;
    for (int dy = -kMaxShift; dy <= kMaxShift; ++dy) {
      for (int dx = -kMaxShift; dx <= kMaxShift; ++dx) {
        const float common = common_area(coverage, *candidate, dx, dy);
        const float overlap = common / (area + candidate->area - common);
        if (overlap > best.overlap) best = {candidate->shape, nearest_size(candidate->radius), overlap};
      }
    }
  }
  return best;
}

}  // namespace polyphony::scenes
