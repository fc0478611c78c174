// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/lr_schedule.h"

#include <gtest/gtest.h>

namespace polyphony::pipelines {
namespace {

LrSchedule schedule(const std::string& type) {
  return {.type = type,
          .learning_rate = 1.0,
          .min_lr_factor = 0.1,
          .warmup_steps = 10,
          .total_steps = 110,
          .decay_ratio = 0.5};
}

TEST(LrSchedule, WarmsUpLinearlyToThePeak) {
  for (const auto* type : {"constant", "cosine", "wsd"}) {
    EXPECT_DOUBLE_EQ(learning_rate(schedule(type), 0), 0.1) << type;
    EXPECT_DOUBLE_EQ(learning_rate(schedule(type), 9), 1.0) << type;
  }
}

TEST(LrSchedule, CosineIsHalfWayDownInTheMiddle) {
  EXPECT_NEAR(learning_rate(schedule("cosine"), 60), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate(schedule("cosine"), 110), 0.1, 1e-12);
}

TEST(LrSchedule, WsdHoldsThenFallsLinearly) {
  EXPECT_DOUBLE_EQ(learning_rate(schedule("wsd"), 54), 1.0);
  EXPECT_NEAR(learning_rate(schedule("wsd"), 55 + 27), 1.0 - 0.9 * 27 / 55, 1e-12);
}

TEST(LrSchedule, StaysAtTheEndValuePastTheEnd) {
  EXPECT_NEAR(learning_rate(schedule("cosine"), 1000), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate(schedule("constant"), 1000), 1.0);
}

}  // namespace
}  // namespace polyphony::pipelines
