// SPDX-License-Identifier: Apache-2.0
// The judge: right on true renderings, nearly right on spoilt ones, and not fooled by blobs.
#include "pipelines/data/scenes/detector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/error.h"
#include "pipelines/data/scenes/compare.h"
#include "pipelines/data/scenes/dataset.h"
#include "pipelines/data/scenes/render.h"

namespace polyphony::scenes {
namespace {

using Picture = std::vector<uint8_t>;

double uniform(Rng& rng) { return static_cast<double>(rng.next() >> 11) * 0x1p-53; }

// About normal: the sum of four uniform words of 16 bits, scaled to variance 1.
double normal(Rng& rng) {
  uint64_t sum = 0;
  for (uint64_t word = rng.next(); word != 0; word >>= 16) sum += word & 0xffff;
  return (static_cast<double>(sum) / 65536.0 - 2.0) * std::sqrt(3.0);
}

struct Spoil {
  double blur_sigma = 0.0;    // pixels
  double noise_sigma = 0.0;   // 0..255
  double colour_shift = 0.0;  // largest offset of a channel, 0..255
  bool operator==(const Spoil&) const = default;
};

// Gaussian blur across rows or columns; edges repeat.
std::vector<double> blur_axis(const std::vector<double>& values, double sigma, bool rows) {
  const int reach = static_cast<int>(std::ceil(3.0 * sigma));
  std::vector<double> weights;
  for (int d = -reach; d <= reach; ++d) weights.push_back(std::exp(-0.5 * d * d / (sigma * sigma)));
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  auto result = values;
  for (int i = 0; i < kImageBytes; ++i) {
    const int c = i % 3, x = i / 3 % kImageSize, y = i / 3 / kImageSize;
    double sum = 0.0;
    for (int d = -reach; d <= reach; ++d) {
      const int at_x = rows ? x : std::clamp(x + d, 0, kImageSize - 1);
      const int at_y = rows ? std::clamp(y + d, 0, kImageSize - 1) : y;
      sum += weights[d + reach] * values[(at_y * kImageSize + at_x) * 3 + c];
    }
    result[i] = sum / total;
  }
  return result;
}

Picture spoilt(const Picture& rgb, const Spoil& spoil, Rng& rng) {
  std::vector<double> values(rgb.begin(), rgb.end());
  if (spoil.blur_sigma > 0.0) {
    for (const bool rows : {false, true}) values = blur_axis(values, spoil.blur_sigma, rows);
  }
  std::array<double, 3> shift{};
  for (auto& offset : shift) offset = (2.0 * uniform(rng) - 1.0) * spoil.colour_shift;
  Picture result(rgb.size());
  for (size_t i = 0; i < rgb.size(); ++i) {
    const double noise = spoil.noise_sigma > 0.0 ? spoil.noise_sigma * normal(rng) : 0.0;
    const double value = values[i] + shift[i % 3] + noise;
    result[i] = static_cast<uint8_t>(std::clamp(std::lround(value), 0L, 255L));
  }
  return result;
}

struct Rights {
  int objects = 0, sizes = 0, backgrounds = 0;
};

Rights judge(int count, const Spoil& spoil) {
  const SceneStream stream(2024, Split::any);
  Rights rights;
  for (int i = 0; i < count; ++i) {
    const auto example = stream[static_cast<uint64_t>(i)];
    Rng rng(1, static_cast<uint64_t>(i));
    const auto picture = spoil == Spoil{} ? example.rgb : spoilt(example.rgb, spoil, rng);
    const auto right = compare(detect_scene(picture), example.scene);
    rights.objects += right.objects_right ? 1 : 0;
    rights.sizes += right.size_right ? 1 : 0;
    rights.backgrounds += right.background_right ? 1 : 0;
  }
  std::cout << "of " << count << ": objects " << rights.objects << ", size " << rights.sizes << ", background "
            << rights.backgrounds << "\n";
  return rights;
}

void paint(Picture& rgb, int left, int top, int width, int height, const Rgb& colour) {
  for (int y = top; y < top + height; ++y) {
    for (int x = left; x < left + width; ++x) std::ranges::copy(colour, rgb.begin() + (y * kImageSize + x) * 3);
  }
}

const Scene kPair{.background = 0, .objects = {{1, 4, 3, 4}, {0, 0, 0, 0}}};  // large blue star, small red circle

TEST(DetectScene, IsRightOnEveryTrueRendering) {
  const auto rights = judge(2000, {});
  EXPECT_EQ(rights.objects, 2000);
  EXPECT_EQ(rights.sizes, 2000);
  EXPECT_EQ(rights.backgrounds, 2000);
}

TEST(DetectScene, KnowsEveryShapeSizeColourAndBackgroundTogether) {
  for (uint8_t background = 0; background < kBackgrounds.size(); ++background) {
    for (uint8_t colour = 0; colour < kColours.size(); ++colour) {
      for (uint8_t shape = 0; shape < kShapes.size(); ++shape) {
        const auto place = static_cast<uint8_t>((background + colour + shape) % kPlaces.size());
        for (uint8_t size = 0; size < kSizes.size(); ++size) {
          const Scene scene{.background = background, .objects = {{size, colour, shape, place}}};
          ASSERT_TRUE(compare(detect_scene(render_scene(scene)), scene).exact) << to_json(scene).dump();
        }
      }
    }
  }
}

TEST(DetectScene, BearsMildBlurNoiseAndColourShifts) {
  for (const Spoil& spoil : {Spoil{.blur_sigma = 0.7}, Spoil{.noise_sigma = 6.0}, Spoil{.colour_shift = 12.0},
                             Spoil{.blur_sigma = 0.7, .noise_sigma = 6.0, .colour_shift = 12.0}}) {
    const auto rights = judge(60, spoil);
    EXPECT_GE(rights.objects, 59);
    EXPECT_GE(rights.sizes, 59);
    EXPECT_GE(rights.backgrounds, 59);
  }
}

TEST(DetectScene, BearsStrongerBlurAndNoiseMostly) {
  EXPECT_GE(judge(40, {.blur_sigma = 1.2, .noise_sigma = 6.0, .colour_shift = 12.0}).objects, 38);
  EXPECT_GE(judge(40, {.blur_sigma = 0.7, .noise_sigma = 16.0, .colour_shift = 20.0}).objects, 38);
}

TEST(DetectScene, SeesNothingInAnEmptyPicture) {
  for (uint8_t background = 0; background < kBackgrounds.size(); ++background) {
    Picture rgb(kImageBytes);
    paint(rgb, 0, 0, kImageSize, kImageSize, kBackgrounds[background].rgb);
    Rng rng(background);
    const auto detected = detect_scene(spoilt(rgb, {.noise_sigma = 6.0}, rng));
    EXPECT_EQ(detected.background, background);
    EXPECT_TRUE(detected.objects.empty());
  }
}

TEST(DetectScene, SeesWhatIsExtraMissingAndWrong) {
  const auto right = render_scene(kPair);
  EXPECT_TRUE(picture_right(right, kPair));

  auto extra = right;
  paint(extra, 70, 70, 12, 12, kColours[3].rgb);
  const auto with_extra = compare(detect_scene(extra), kPair);
  EXPECT_EQ(with_extra.extra, 1);
  EXPECT_FALSE(with_extra.objects_right);

  auto missing = right;
  paint(missing, 0, 0, kCellSize, kCellSize, kBackgrounds[0].rgb);
  const auto without = compare(detect_scene(missing), kPair);
  EXPECT_TRUE(without.objects[0].found);
  EXPECT_FALSE(without.objects[1].found);
  EXPECT_FALSE(without.objects_right);

  for (const Scene& other : {Scene{0, {{1, 4, 3, 4}, {0, 1, 0, 0}}}, Scene{0, {{1, 4, 3, 4}, {0, 0, 5, 0}}},
                             Scene{0, {{1, 4, 3, 4}, {0, 0, 0, 1}}}}) {
    EXPECT_FALSE(picture_right(right, other));
  }
}

TEST(DetectScene, SizeAndBackgroundAreToldApartFromTheObjects) {
  const auto resized = compare(detect_scene(render_scene(kPair)), {0, {{0, 4, 3, 4}, {0, 0, 0, 0}}});
  EXPECT_TRUE(resized.objects_right);
  EXPECT_FALSE(resized.size_right);
  EXPECT_FALSE(resized.exact);
  const auto repainted = compare(detect_scene(render_scene(kPair)), {3, kPair.objects});
  EXPECT_TRUE(repainted.objects_right);
  EXPECT_FALSE(repainted.background_right);
}

TEST(DetectScene, ABlobOfNoShapeOrColourOfOursIsNeverRight) {
  Picture rgb(kImageBytes);
  paint(rgb, 0, 0, kImageSize, kImageSize, kBackgrounds[1].rgb);
  paint(rgb, 34, 45, 28, 3, kColours[0].rgb);  // a thin bar
  const auto bar = detect_scene(rgb);
  ASSERT_EQ(bar.objects.size(), 1u);
  EXPECT_LT(bar.objects[0].confidence, kMinConfidence);
  EXPECT_FALSE(compare(bar, {1, {bar.objects[0].object}}).objects_right);

  paint(rgb, 0, 0, kImageSize, kImageSize, kBackgrounds[1].rgb);
  paint(rgb, 38, 38, 20, 20, {0, 200, 200});  // a square, but cyan
  const auto cyan = detect_scene(rgb);
  ASSERT_EQ(cyan.objects.size(), 1u);
  EXPECT_EQ(cyan.objects[0].object.shape, 1);
  EXPECT_LT(cyan.objects[0].confidence, kMinConfidence);
}

TEST(DetectScene, NeighboursThatHaveGrownTogetherAreToldApart) {
  const Scene scene{.background = 0, .objects = {{1, 0, 1, 0}, {1, 4, 1, 1}}};  // two large squares side by side
  auto rgb = render_scene(scene);
  paint(rgb, 26, 14, 12, 4, kColours[0].rgb);
  const auto detected = detect_scene(rgb);
  ASSERT_EQ(detected.objects.size(), 2u);
  EXPECT_TRUE(compare(detected, scene).objects_right);
}

TEST(DetectScene, RefusesAnotherNumberOfBytes) { EXPECT_THROW(detect_scene(Picture(100)), ShapeError); }

}  // namespace
}  // namespace polyphony::scenes
