// SPDX-License-Identifier: Apache-2.0
// The shipped model through the command line: it knows its scenes, and knows that other pictures are none.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "core/base/files.h"
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

using Rgb = std::array<int, 3>;

// A BMP of 24 bits; rows go from the bottom up and fill words of four bytes.
void write_bmp(const std::filesystem::path& file, int width, int height,
               const std::function<Rgb(int x, int y)>& colour) {
  const int row_bytes = (3 * width + 3) / 4 * 4;
  std::string bytes = "BM";
  const auto number = [&](uint32_t value, int size) {
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  };
  number(static_cast<uint32_t>(54 + row_bytes * height), 4), number(0, 4), number(54, 4);
  number(40, 4), number(static_cast<uint32_t>(width), 4), number(static_cast<uint32_t>(height), 4);
  number(1, 2), number(24, 2), number(0, 4), number(0, 4), number(2835, 4), number(2835, 4), number(0, 4), number(0, 4);
  for (int y = height - 1; y >= 0; --y) {
    for (int x = 0; x < width; ++x) {
      const auto [r, g, b] = colour(x, y);
      for (const int value : {b, g, r}) bytes += static_cast<char>(value);
    }
    bytes.append(static_cast<size_t>(row_bytes - 3 * width), '\0');
  }
  write_file_atomic(file, bytes);
}

TEST(DefaultModel, IsSureOfItsScenesAndOfNothingElse) {
  for (const char* name : {"scene-1.png", "scene-2.png", "scene-3.png", "scene-4.png"})
    EXPECT_GT(caption(kModel + "/examples/" + name)["confidence"].get<double>(), 0.6) << name;
  const TemporaryFolder folder;
  std::mt19937 random(1);
  const auto noise = [&](int, int) { return Rgb{int(random() % 256), int(random() % 256), int(random() % 256)}; };
  const auto plain = [](int, int) { return Rgb{255, 255, 255}; };
  const auto landscape = [](int x, int y) {  // a sky, a sun, hills
    if (y > 140 + 30 * std::sin(x / 40.0)) return Rgb{60, 90 + x / 8, 40};
    if (std::hypot(x - 220, y - 50) < 25) return Rgb{255, 230, 120};
    return Rgb{90 + y, 150 + y / 3, 230};
  };
  write_bmp(folder / "noise.bmp", 96, 96, noise);
  write_bmp(folder / "white.bmp", 96, 96, plain);
  write_bmp(folder / "landscape.bmp", 300, 170, landscape);
  for (const char* name : {"noise.bmp", "white.bmp", "landscape.bmp"})
    EXPECT_LT(caption((folder / name).string())["confidence"].get<double>(), 0.2) << name;
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
