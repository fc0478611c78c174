// SPDX-License-Identifier: Apache-2.0
// Counting and intervals: known values, captions and pictures through the same comparison.
#include "pipelines/data/scenes/metrics.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace polyphony::scenes {
namespace {

const Scene kPair{.background = 0, .objects = {{1, 4, 3, 4}, {0, 0, 0, 0}}};  // large blue star, small red circle

TEST(WilsonInterval, AgreesWithPublishedValues) {
  // Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I.
  struct Row {
    Share share;
    Interval interval;
  };
  for (const auto& [share, expected] : {Row{{81, 263}, {0.2553, 0.3662}}, Row{{15, 148}, {0.0624, 0.1605}},
                                        Row{{0, 20}, {0.0, 0.1611}}, Row{{1, 29}, {0.0061, 0.1718}}}) {
    const auto interval = wilson_interval(share);
    EXPECT_NEAR(interval.low, expected.low, 1e-4);
    EXPECT_NEAR(interval.high, expected.high, 1e-4);
  }
}

TEST(WilsonInterval, OfNothingIsEverything) {
  EXPECT_EQ(wilson_interval({}).low, 0.0);
  EXPECT_EQ(wilson_interval({}).high, 1.0);
}

TEST(CaptionExact, AcceptsAnyTrueWordingOnly) {
  EXPECT_TRUE(
      caption_exact("on a white background, in the middle a huge blue star, tiny red circle at the top left", kPair));
  for (const auto* wrong :
       {"a large blue star in the center on a white background",                                  // one missing
        "a small blue star in the center, a small red circle at the top left, white background",  // size
        "a large blue star in the center, a small red circle at the top, white background",       // place
        "a large blue star in the center, a small red circle at the top left",                    // no background
        "a large blue star in the center, a small red circle at the top left, white background zzz",
        "a large blue star in the center, a small red circle at the top left and a small red circle at "
        "the top right, white background",
        ""}) {
    EXPECT_FALSE(caption_exact(wrong, kPair)) << wrong;
  }
}

TEST(SceneMetrics, CountsByAttributeAndByValue) {
  SceneMetrics metrics;
  add(metrics, compare(parse_caption(canonical_caption(kPair)), kPair), kPair);
  add(metrics,
      compare(
          parse_caption("a large green star in the center and a large red cross at the bottom on a white background"),
          kPair),
      kPair);
  EXPECT_EQ(metrics.exact.hits, 1);
  EXPECT_EQ(metrics.exact.total, 2);
  EXPECT_EQ(metrics.backgrounds.hits, 2);
  EXPECT_EQ(metrics.object_found.hits, 3);
  EXPECT_EQ(metrics.object_found.total, 4);
  EXPECT_EQ(metrics.object_colour.hits, 2);
  EXPECT_EQ(metrics.object_shape.hits, 3);
  EXPECT_EQ(metrics.object_size.hits, 3);
  EXPECT_EQ(metrics.by_colour[4].hits, 1);  // blue: right once, green once
  EXPECT_EQ(metrics.by_colour[4].total, 2);
  EXPECT_EQ(metrics.by_num_objects[1].total, 2);
  EXPECT_EQ(metrics.extra_objects, 1);
}

TEST(SceneMetrics, JsonHoldsRatesWithIntervalsUnderReadableNames) {
  SceneMetrics metrics;
  add(metrics, compare(parse_caption(canonical_caption(kPair)), kPair), kPair);
  const auto json = to_json(metrics);
  EXPECT_EQ(json["exact"]["rate"], 1.0);
  EXPECT_EQ(json["exact"]["total"], 1);
  EXPECT_LT(json["exact"]["low95"], 0.5);
  EXPECT_EQ(json["by_shape"]["star"]["hits"], 1);
  EXPECT_EQ(json["by_shape"]["cross"]["total"], 0);
  EXPECT_EQ(json["by_num_objects"]["2"]["hits"], 1);
}

TEST(SceneMetrics, RefusesAComparisonWithAnotherScene) {
  SceneMetrics metrics;
  const Scene single{.background = 0, .objects = {{0, 0, 0, 0}}};
  EXPECT_THROW(add(metrics, compare(parse_caption(""), kPair), single), ShapeError);
}

}  // namespace
}  // namespace polyphony::scenes
