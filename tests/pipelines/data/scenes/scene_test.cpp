// SPDX-License-Identifier: Apache-2.0
// Scenes as values: equality as sets, validity, JSON, splits, and the stream's addressing by index.
#include "pipelines/data/scenes/scene.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "pipelines/data/scenes/dataset.h"

namespace polyphony::scenes {
namespace {

TEST(Rng, DrawsTheSameNumbersOnEveryMachine) {
  Rng rng(1, 2);
  const std::array draws{rng.next(), rng.next()};
  Rng again(1, 2), other(1, 3);
  EXPECT_EQ(again.next(), draws[0]);
  EXPECT_NE(other.next(), draws[0]);
  EXPECT_EQ(mix64(0), 0xe220a8397b1dcdafu);  // first output of splitmix64 seeded with 0, from its reference code
}

TEST(Rng, DrawsEveryValueBelowABoundEquallyOften) {
  Rng rng(4);
  std::array<int, 6> counts{};
  for (int i = 0; i < 60000; ++i) ++counts.at(rng.below(6));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 400);
}

TEST(Scene, EqualityIgnoresTheOrderOfObjects) {
  const Scene scene{.background = 1, .objects = {{0, 1, 2, 3}, {1, 2, 3, 4}}};
  EXPECT_TRUE(scene == (Scene{.background = 1, .objects = {{1, 2, 3, 4}, {0, 1, 2, 3}}}));
  EXPECT_FALSE(scene == (Scene{.background = 0, .objects = scene.objects}));
  EXPECT_FALSE(scene == (Scene{.background = 1, .objects = {{0, 1, 2, 3}}}));
}

TEST(Scene, SurvivesJson) {
  Rng rng(8);
  for (int i = 0; i < 200; ++i) {
    const auto scene = random_scene(rng, Split::any);
    ASSERT_TRUE(scene_from_json(nlohmann::json::parse(to_json(scene).dump())) == scene);
  }
}

TEST(Scene, JsonErrorsNameTheField) {
  auto json = to_json(Scene{.background = 0, .objects = {{0, 0, 0, 0}}});
  json["objects"][0]["colour"] = "ultraviolet";
  try {
    scene_from_json(json);
    FAIL() << "expected DataError";
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(), "[scene_from_json] field 'colour' has no value 'ultraviolet'");
  }
  EXPECT_THROW(scene_from_json(nlohmann::json::array()), DataError);
  EXPECT_THROW(scene_from_json({{"background", "white"}}), DataError);
}

TEST(Split, HoldsOutAboutOneCombinationInTenAndNoPair) {
  std::set<std::pair<int, int>> shape_colour, shape_place, colour_place;
  int held_out = 0, total = 0;
  for (uint8_t shape = 0; shape < kShapes.size(); ++shape) {
    for (uint8_t colour = 0; colour < kColours.size(); ++colour) {
      for (uint8_t place = 0; place < kPlaces.size(); ++place) {
        ++total;
        const bool held = is_held_out({.size = 0, .colour = colour, .shape = shape, .place = place});
        EXPECT_EQ(held, is_held_out({.size = 1, .colour = colour, .shape = shape, .place = place}));
        held_out += held ? 1 : 0;
        if (held) continue;
        shape_colour.emplace(shape, colour);
        shape_place.emplace(shape, place);
        colour_place.emplace(colour, place);
      }
    }
  }
  EXPECT_EQ(shape_colour.size(), kShapes.size() * kColours.size());
  EXPECT_EQ(shape_place.size(), kShapes.size() * kPlaces.size());
  EXPECT_EQ(colour_place.size(), kColours.size() * kPlaces.size());
  std::cout << held_out << " of " << total << " combinations are held out\n";
  EXPECT_GT(held_out, total * 8 / 100);
  EXPECT_LT(held_out, total * 12 / 100);
}

TEST(Split, TrainingNeverShowsAHeldOutCombinationAndEvaluationAlwaysDoes) {
  Rng rng(9);
  for (int i = 0; i < 3000; ++i) {
    for (const auto& object : random_scene(rng, Split::train).objects) ASSERT_FALSE(is_held_out(object));
    const auto scene = random_scene(rng, Split::held_out);
    ASSERT_TRUE(std::ranges::any_of(scene.objects, is_held_out));
    check_scene(scene);
  }
}

TEST(Split, DrawsEveryNumberOfObjectsEquallyOften) {
  for (const auto split : {Split::train, Split::held_out, Split::any}) {
    Rng rng(10);
    std::array<int, kMaxObjects + 1> counts{};
    for (int i = 0; i < 6000; ++i) ++counts.at(random_scene(rng, split).objects.size());
    EXPECT_EQ(counts[0], 0);
    for (int count = 1; count <= kMaxObjects; ++count) EXPECT_NEAR(counts[count], 2000, 200);
  }
}

TEST(SceneStream, IsAPureFunctionOfSeedAndIndex) {
  const SceneStream stream(42, Split::train), resumed(42, Split::train), other(43, Split::train);
  const auto last = stream[99];
  for (uint64_t index = 0; index < 100; ++index) {
    const auto example = resumed[index];
    ASSERT_TRUE(resumed.scene(index) == example.scene);
    ASSERT_TRUE(belongs(example.scene, Split::train));
    if (index < 99) continue;
    EXPECT_EQ(example.caption, last.caption);
    EXPECT_EQ(example.rgb, last.rgb);
    EXPECT_NE(other[index].caption, last.caption);
  }
}

}  // namespace
}  // namespace polyphony::scenes
