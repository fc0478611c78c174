// SPDX-License-Identifier: Apache-2.0
// Which shape and size a patch of coverage looks most like.
#pragma once
#include <array>
#include <cstdint>

#include "pipelines/data/scenes/scene.h"

namespace polyphony::scenes {

using Coverage = std::array<float, kCellSize * kCellSize>;  // 0..1, row by row

struct ShapeMatch {
  uint8_t shape = 0;     // row of kShapes
  uint8_t size = 0;      // row of kSizes whose radius is nearer, on a logarithmic scale
  float overlap = 0.0f;  // sum of minima / sum of maxima of patch and template, 0..1
};

// Compares with every shape at many radii, so that the shape of a blob that is a little too small is still told, and at
// shifts of a few pixels around the patch's middle.
ShapeMatch match_shape(const Coverage& coverage);

}  // namespace polyphony::scenes
