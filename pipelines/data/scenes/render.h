// SPDX-License-Identifier: Apache-2.0
// Scene -> picture, antialiased, from masks made once.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "pipelines/data/scenes/scene.h"

namespace polyphony::scenes {

// Half the extent in pixels of a circle of each row of kSizes; the other shapes are scaled to look as large.
inline constexpr std::array<float, kSizes.size()> kRadii{7.0f, 12.0f};

using Mask = std::array<uint8_t, kCellSize * kCellSize>;  // coverage 0..255, row by row

// Coverage of a shape (row of kShapes) centred in a cell. radius: of the circle of the same size, pixels.
Mask shape_mask(int shape, float radius);

// Writes kImageBytes of RGB, 0..255, rows from the top, channels last. The same scene always gives the same bytes.
// Throws ShapeError if the buffer has another size, DataError if the scene is not valid.
void render_scene(const Scene& scene, std::span<uint8_t> rgb);

std::vector<uint8_t> render_scene(const Scene& scene);

}  // namespace polyphony::scenes
