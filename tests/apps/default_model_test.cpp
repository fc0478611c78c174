// SPDX-License-Identifier: Apache-2.0
// The shipped model through the command line: it knows its scenes, and knows that other pictures are none.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>

#include "tests/apps/child.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::testing {
namespace {

const std::string kModel = POLYPHONY_SOURCE_DIR "/configs/default_model";

nlohmann::json caption(const std::string& file) {
  const auto run = run_child({"caption", file, "--model", kModel, "--json", "--progress", "none"});
  EXPECT_EQ(run.code, 0) << run.err;
  return nlohmann::json::parse(run.out)["results"][0];
}

TEST(DefaultModel, IsSureOfItsScenesAndOfNothingElse) {
  for (const char* name : {"scene-1.png", "scene-2.png", "scene-3.png", "scene-4.png"})
    EXPECT_GT(caption(kModel + "/examples/" + name)["confidence"].get<double>(), 0.6) << name;
  const TemporaryFolder folder;
  cv::RNG random(1);
  cv::Mat noise(96, 96, CV_8UC3), plain(96, 96, CV_8UC3, cv::Scalar(255, 255, 255)), photo(200, 300, CV_8UC3);
  random.fill(noise, cv::RNG::UNIFORM, 0, 256);
  for (int y = 0; y < photo.rows; ++y)  // a sky, a sun, hills
    for (int x = 0; x < photo.cols; ++x) {
      const bool hill = y > 140 + 30 * std::sin(x / 40.0), sun = std::hypot(x - 220, y - 50) < 25;
      photo.at<cv::Vec3b>(y, x) = hill ? cv::Vec3b(40, static_cast<uint8_t>(90 + x / 8), 60)
                                  : sun
                                      ? cv::Vec3b(120, 230, 255)
                                      : cv::Vec3b(230, static_cast<uint8_t>(150 + y / 3), static_cast<uint8_t>(90 + y));
    }
  const std::vector<std::pair<const char*, const cv::Mat*>> pictures{
      {"noise.png", &noise}, {"white.png", &plain}, {"photo.png", &photo}};
  for (const auto& [name, picture] : pictures) {
    const auto file = (folder / name).string();
    ASSERT_TRUE(cv::imwrite(file, *picture));
    EXPECT_LT(caption(file)["confidence"].get<double>(), 0.2) << name;
  }
}

TEST(DefaultModel, DrawsWithoutWordsAndWarnsOfUnknownOnes) {
  const TemporaryFolder folder;
  const auto draw = [&](const std::string& prompt, const std::string& name) {
    return run_child({"generate", "--prompt", prompt, "--model", kModel, "--steps", "2", "--seed", "1", "--output",
                      (folder / name).string()});
  };
  const auto empty = draw("", "empty.png");
  EXPECT_EQ(empty.code, 0) << empty.err;
  EXPECT_NE(empty.err.find("no words"), std::string::npos) << empty.err;
  const auto unknown = draw("a large zeppelin over a red square", "unknown.png");
  EXPECT_EQ(unknown.code, 0) << unknown.err;
  EXPECT_NE(unknown.err.find("'zeppelin'"), std::string::npos) << unknown.err;
  EXPECT_TRUE(std::filesystem::exists(folder / "empty.png") && std::filesystem::exists(folder / "unknown.png"));
}

}  // namespace
}  // namespace polyphony::testing
