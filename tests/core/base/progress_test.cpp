// SPDX-License-Identifier: Apache-2.0
#include "core/base/progress.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/text.h"
#include "core/error.h"

namespace polyphony {
namespace {

using testing::HasSubstr;
using testing::Not;

// 10 units, one a second, shown in one style.
std::string run(ProgressStyle style, int64_t start = 0) {
  std::ostringstream out;
  double now = 100;
  Progress progress({.task = "train",
                     .total = 10,
                     .start = start,
                     .style = style,
                     .out = &out,
                     .bar_interval_s = 2.5,
                     .line_interval_s = 5,
                     .width = 80,
                     .clock = [&] { return now; }});
  for (int64_t done = start + 1; done <= 10; ++done) {
    now += 1;
    progress.update(done, "loss " + std::to_string(10 - done));
  }
  progress.finish();
  return out.str();
}

TEST(Progress, NoneShowsNothing) { EXPECT_EQ(run(ProgressStyle::none), ""); }

TEST(Progress, LinesComeOnceAnIntervalAndAtTheEnd) {
  EXPECT_EQ(run(ProgressStyle::lines),
            "train: 1/10  1 it/s  ETA 9.0 s  loss 9\n"
            "train: 6/10  1 it/s  ETA 4.0 s  loss 4\n"
            "train: 10/10  1 it/s  in 10 s  loss 0\n");
}

TEST(Progress, TheBarRewritesOneLineThatFitsTheTerminal) {
  const auto out = run(ProgressStyle::bar);
  EXPECT_THAT(out, HasSubstr("\rtrain [##############################] 10/10"));
  EXPECT_EQ(out.back(), '\n');
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
  for (const auto& line : split(out, '\r')) EXPECT_LT(line.size(), 84u) << line;
}

TEST(Progress, JsonIsOneEventALineWithTheLastOneComplete) {
  const auto lines = split(run(ProgressStyle::json), '\n');
  ASSERT_EQ(lines.size(), 5u);  // 1, 4, 7, 10 and nothing after the last line end
  const auto first = nlohmann::json::parse(lines.front());
  EXPECT_EQ(first,
            nlohmann::json::parse(
                R"({"event":"progress","task":"train","done":1,"total":10,"rate":1.0,"eta_s":9.0,"note":"loss 9"})"));
  EXPECT_EQ(nlohmann::json::parse(lines[lines.size() - 2])["done"], 10);
}

TEST(Progress, ResumedWorkIsLeftOutOfTheRate) {
  EXPECT_THAT(run(ProgressStyle::lines, 8), HasSubstr("train: 9/10  1 it/s  ETA 1.0 s"));
}

TEST(Progress, AnUnknownTotalHasNoEta) {
  std::ostringstream out;
  double now = 0;
  Progress progress({.task = "read", .style = ProgressStyle::json, .out = &out, .clock = [&] { return now; }});
  now = 4;
  progress.update(2, "bad \xFF byte");
  const auto event = nlohmann::json::parse(out.str());
  EXPECT_TRUE(event["total"].is_null());
  EXPECT_TRUE(event["eta_s"].is_null());
  EXPECT_EQ(event["rate"], 0.5);
  EXPECT_EQ(event["note"], "bad \xEF\xBF\xBD byte");
}

TEST(Progress, AClockThatStandsStillGivesNoRate) {
  std::ostringstream out;
  Progress progress({.task = "x", .total = 3, .style = ProgressStyle::lines, .out = &out, .clock = [] { return 1.0; }});
  progress.update(1);
  EXPECT_EQ(out.str(), "x: 1/3\n");
}

TEST(ProgressStyle, AutoNeedsATerminalOrVerbosity) {
  EXPECT_EQ(progress_style("auto", true, -1), ProgressStyle::lines);
  EXPECT_EQ(progress_style("auto", false, -1), ProgressStyle::none);
  EXPECT_EQ(progress_style("json", false, -1), ProgressStyle::json);
  EXPECT_THROW(progress_style("fancy", false, -1), UsageError);
}

}  // namespace
}  // namespace polyphony
