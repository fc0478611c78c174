// SPDX-License-Identifier: Apache-2.0
#include "pipelines/data/scenes/explain.h"

#include <gtest/gtest.h>

#include "pipelines/data/scenes/compare.h"
#include "pipelines/data/scenes/dataset.h"

namespace polyphony::scenes {
namespace {

using Sentences = std::vector<std::string>;

// A large red circle at the top left and a small blue star in the center on white.
const Scene kAsked{.background = 0, .objects = {{1, 0, 0, 0}, {0, 4, 3, 4}}};

Detection seen(std::vector<DetectedObject> objects, uint8_t background = 0) { return {background, std::move(objects)}; }

TEST(Differences, NoneWhereThePictureIsRightWhateverItsSizes) {
  EXPECT_EQ(differences(seen({{{1, 0, 0, 0}, 0.9f}, {{1, 4, 3, 4}, 0.9f}}), kAsked), Sentences{});
}

TEST(Differences, NameWhatIsWrongPlaceByPlace) {
  EXPECT_EQ(differences(seen({{{1, 7, 0, 0}, 0.9f}, {{0, 2, 1, 8}, 0.9f}}, 1), kAsked),
            (Sentences{"top left: a large red circle was asked for, a large brown circle is there",
                       "center: a small blue star was asked for, nothing is there",
                       "bottom right: a small yellow square is there, which nobody asked for",
                       "background: white was asked for, black is there"}));
}

TEST(Differences, AnObjectUnlikeAnyIsNoRightOne) {
  const auto out = differences(seen({{{1, 0, 0, 0}, 0.2f}, {{0, 4, 3, 4}, 0.9f}}), kAsked);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_NE(out[0].find("too unlike"), std::string::npos);
}

TEST(Differences, AgreeWithTheJudge) {
  const SceneStream stream(3, Split::train);
  for (uint64_t i = 0; i < 60; ++i) {
    const auto found = detect_scene(stream[i].rgb);
    for (const auto& asked : {stream.scene(i), stream.scene(i + 1)}) {
      const auto verdict = compare(found, asked);
      EXPECT_EQ(differences(found, asked).empty(), verdict.objects_right && verdict.background_right) << i;
    }
  }
}

}  // namespace
}  // namespace polyphony::scenes
