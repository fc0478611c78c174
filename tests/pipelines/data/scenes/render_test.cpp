// SPDX-License-Identifier: Apache-2.0
// Pictures of scenes: colours where they belong, determinism, distinguishable shapes.
#include "pipelines/data/scenes/render.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <iostream>
#include <numeric>

#include "core/error.h"
#include "pipelines/data/scenes/split.h"

namespace polyphony::scenes {
namespace {

Rgb pixel(const std::vector<uint8_t>& rgb, int x, int y) {
  const auto offset = static_cast<size_t>((y * kImageSize + x) * 3);
  return {rgb[offset], rgb[offset + 1], rgb[offset + 2]};
}

double area(const Mask& mask) { return std::accumulate(mask.begin(), mask.end(), 0.0) / 255.0; }

TEST(RenderScene, PaintsEachObjectsColourInItsCellAndTheBackgroundElsewhere) {
  Rng rng(5);
  for (int i = 0; i < 200; ++i) {
    const auto scene = random_scene(rng, Split::any);
    const auto rgb = render_scene(scene);
    std::array<Rgb, kPlaces.size()> expected;
    expected.fill(kBackgrounds[scene.background].rgb);
    for (const auto& object : scene.objects) expected[object.place] = kColours[object.colour].rgb;
    for (int place = 0; place < static_cast<int>(kPlaces.size()); ++place) {
      const int left = place % kGridSize * kCellSize, top = place / kGridSize * kCellSize;
      ASSERT_EQ(pixel(rgb, left + kCellSize / 2, top + kCellSize / 2), expected[place]);
      ASSERT_EQ(pixel(rgb, left, top), kBackgrounds[scene.background].rgb);
    }
  }
}

TEST(RenderScene, DoesNotDependOnTheOrderOfObjects) {
  Rng rng(6);
  const auto scene = random_scene(rng, Split::any);
  auto shuffled = scene;
  std::ranges::reverse(shuffled.objects);
  EXPECT_EQ(render_scene(shuffled), render_scene(scene));
}

TEST(RenderScene, RefusesAWrongBufferAndAnInvalidScene) {
  std::vector<uint8_t> small(kImageBytes - 1);
  const Scene scene{.background = 0, .objects = {{0, 0, 0, 0}}};
  EXPECT_THROW(render_scene(scene, small), ShapeError);
  EXPECT_THROW(render_scene({.background = 0, .objects = {{0, 0, 0, 0}, {0, 1, 1, 0}}}), DataError);
  EXPECT_THROW(render_scene({.background = 0, .objects = {{0, 8, 0, 0}}}), DataError);
}

TEST(ShapeMask, StaysInsideItsCellAndGrowsWithTheSquareOfTheRadius) {
  for (int shape = 0; shape < static_cast<int>(kShapes.size()); ++shape) {
    const auto large = shape_mask(shape, kRadii[1]), small = shape_mask(shape, kRadii[0]);
    for (int i = 0; i < kCellSize; ++i) {
      EXPECT_EQ(large[i], 0) << kShapes[shape];
      EXPECT_EQ(large[i * kCellSize], 0) << kShapes[shape];
      EXPECT_EQ(large[(kCellSize - 1) * kCellSize + i], 0) << kShapes[shape];
      EXPECT_EQ(large[i * kCellSize + kCellSize - 1], 0) << kShapes[shape];
    }
    const double scale = kRadii[1] / kRadii[0];
    EXPECT_NEAR(area(large) / area(small), scale * scale, 0.03) << kShapes[shape];
  }
}

TEST(ShapeMask, IsMirrorSymmetric) {
  for (int shape = 0; shape < static_cast<int>(kShapes.size()); ++shape) {
    const auto mask = shape_mask(shape, kRadii[1]);
    for (int y = 0; y < kCellSize; ++y) {
      for (int x = 0; x < kCellSize; ++x)
        ASSERT_NEAR(mask[y * kCellSize + x], mask[y * kCellSize + kCellSize - 1 - x], 8) << kShapes[shape];
    }
  }
}

TEST(RenderScene, IsFastEnoughToDrawWhileTraining) {
  Rng rng(7);
  std::vector<Scene> scenes(500);
  for (auto& scene : scenes) scene = random_scene(rng, Split::any);
  std::vector<uint8_t> rgb(kImageBytes);
  render_scene(scenes.front(), rgb);  // makes the masks
  const auto start = std::clock();    // processor time: other programs do not count
  for (int round = 0; round < 10; ++round) {
    for (const auto& scene : scenes) render_scene(scene, rgb);
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  std::cout << "render_scene: " << 10.0 * static_cast<double>(scenes.size()) / seconds << " pictures/s\n";
  EXPECT_LT(seconds, 5.0);  // far above what is expected: sanitizers and debug builds run this too
}

}  // namespace
}  // namespace polyphony::scenes
