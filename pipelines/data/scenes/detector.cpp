// SPDX-License-Identifier: Apache-2.0
// Finds the blobs of a picture and names the colour and place of each; shape_match tells the shape.
#include "pipelines/data/scenes/detector.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "core/check.h"
#include "pipelines/data/scenes/shape_match.h"

namespace polyphony::scenes {
namespace {

constexpr int kMarginPixels = 2;       // no shape reaches so close to its cell's edge
constexpr double kMinContrast = 40.0;  // RGB distance from the background; the least true contrast is 112
constexpr int kMinBlobPixels = 30;
constexpr int kMaxBlobSide = kCellSize + 6;  // longer blobs are neighbours that have grown together

constexpr double kInsideContrast = 0.9;  // of the contrast that the strongest eighth of a blob reaches

using Vec = cv::Vec3f;

double distance(const Vec& a, const Vec& b) { return cv::norm(a - b); }

Vec median(std::vector<cv::Vec3b> pixels) {
  Vec result;
  for (int c = 0; c < 3; ++c) {
    const auto middle = pixels.begin() + static_cast<std::ptrdiff_t>(pixels.size() / 2);
    std::nth_element(pixels.begin(), middle, pixels.end(), [c](const auto& a, const auto& b) { return a[c] < b[c]; });
    result[c] = (*middle)[c];
  }
  return result;
}

Vec margin_colour(const cv::Mat& picture) {
  const auto in_margin = [](int x) { return (x + kMarginPixels) % kCellSize < 2 * kMarginPixels; };
  std::vector<cv::Vec3b> pixels;
  for (int y = 0; y < picture.rows; ++y) {
    for (int x = 0; x < picture.cols; ++x) {
      if (in_margin(x) || in_margin(y)) pixels.push_back(picture.at<cv::Vec3b>(y, x));
    }
  }
  return median(std::move(pixels));
}

struct NearestColour {
  uint8_t row;
  float margin;  // 1 - distance to it / distance to the next
};

template <class Table>
NearestColour nearest_colour(const Table& table, const Vec& colour) {
  NearestColour nearest{0, 0.0f};
  double best = 1e9, second = 1e9;
  for (uint8_t row = 0; row < table.size(); ++row) {
    const auto& rgb = table[row].rgb;
    const double d = distance(colour, Vec(rgb[0], rgb[1], rgb[2]));
    if (d < best) {
      second = best;
      best = d;
      nearest.row = row;
    } else {
      second = std::min(second, d);
    }
  }
  nearest.margin = static_cast<float>(1.0 - best / second);
  return nearest;
}

// u8 picture-sized masks (0 or 255), one a blob.
std::vector<cv::Mat> find_blobs(const cv::Mat& picture, const Vec& background) {
  cv::Mat unlike(picture.size(), CV_8U);
  for (int y = 0; y < picture.rows; ++y) {
    for (int x = 0; x < picture.cols; ++x)
      unlike.at<uint8_t>(y, x) = distance(picture.at<cv::Vec3b>(y, x), background) > kMinContrast ? 255 : 0;
  }
  cv::Mat labels, stats, centroids;
  const int num_labels = cv::connectedComponentsWithStats(unlike, labels, stats, centroids, 8, CV_32S);
  std::vector<cv::Mat> blobs;
  const auto keep = [&](cv::Mat blob) {
    if (cv::countNonZero(blob) >= kMinBlobPixels) blobs.push_back(std::move(blob));
  };
  for (int label = 1; label < num_labels; ++label) {
    const cv::Mat blob = labels == label;
    const int side = std::max(stats.at<int>(label, cv::CC_STAT_WIDTH), stats.at<int>(label, cv::CC_STAT_HEIGHT));
    if (side <= kMaxBlobSide) {
      keep(blob);
      continue;
    }
    for (int place = 0; place < static_cast<int>(kPlaces.size()); ++place) {
      const cv::Rect cell(place % kGridSize * kCellSize, place / kGridSize * kCellSize, kCellSize, kCellSize);
      cv::Mat part = cv::Mat::zeros(blob.size(), CV_8U);
      blob(cell).copyTo(part(cell));
      keep(part);
    }
  }
  return blobs;
}

// The median of the pixels most unlike the background: the blended edge does not count, however thin the shape.
Vec inside_colour(const cv::Mat& picture, const cv::Mat& blob, const Vec& background) {
  std::vector<std::pair<double, cv::Vec3b>> pixels;
  for (int y = 0; y < picture.rows; ++y) {
    for (int x = 0; x < picture.cols; ++x) {
      const auto& pixel = picture.at<cv::Vec3b>(y, x);
      if (blob.at<uint8_t>(y, x)) pixels.emplace_back(distance(pixel, background), pixel);
    }
  }
  constexpr auto by_contrast = [](const auto& a, const auto& b) { return a.first > b.first; };
  const auto strong = pixels.begin() + static_cast<std::ptrdiff_t>(pixels.size() / 8);
  std::nth_element(pixels.begin(), strong, pixels.end(), by_contrast);
  const double least = kInsideContrast * strong->first;
  std::vector<cv::Vec3b> inside;
  for (const auto& [contrast, pixel] : pixels) {
    if (contrast >= least) inside.push_back(pixel);
  }
  return median(std::move(inside));
}

// f32 in [0, 1], one cell around the blob's middle; what belongs to other blobs is 0.
Coverage coverage_around(const cv::Mat& picture, const cv::Mat& blob, const Vec& background, const Vec& colour,
                         cv::Point middle) {
  cv::Mat reach;
  cv::dilate(blob, reach, cv::getStructuringElement(cv::MORPH_RECT, {3, 3}));
  const Vec axis = colour - background;
  const float length = static_cast<float>(axis.dot(axis));
  Coverage coverage{};
  for (int y = 0; y < kCellSize; ++y) {
    for (int x = 0; x < kCellSize; ++x) {
      const cv::Point at(middle.x - kCellSize / 2 + x, middle.y - kCellSize / 2 + y);
      if (!cv::Rect({0, 0}, picture.size()).contains(at) || !reach.at<uint8_t>(at)) continue;
      const Vec pixel = picture.at<cv::Vec3b>(at);
      coverage[y * kCellSize + x] = std::clamp(static_cast<float>((pixel - background).dot(axis)) / length, 0.0f, 1.0f);
    }
  }
  return coverage;
}

DetectedObject name_blob(const cv::Mat& picture, const cv::Mat& blob, const Vec& background) {
  const cv::Rect box = cv::boundingRect(blob);
  const cv::Point middle(box.x + (box.width + 1) / 2, box.y + (box.height + 1) / 2);
  const Vec colour = inside_colour(picture, blob, background);
  const auto named = nearest_colour(kColours, colour);
  const auto match = match_shape(coverage_around(picture, blob, background, colour, middle));
  const int column = std::min(middle.x / kCellSize, kGridSize - 1), row = std::min(middle.y / kCellSize, kGridSize - 1);
  return {.object = {.size = match.size,
                     .colour = named.row,
                     .shape = match.shape,
                     .place = static_cast<uint8_t>(row * kGridSize + column)},
          .confidence = std::min(match.overlap, named.margin)};
}

}  // namespace

Detection detect_scene(std::span<const uint8_t> rgb) {
  check<ShapeError>(rgb.size() == kImageBytes, "[detect_scene] expected ", kImageBytes, " bytes, got ", rgb.size());
  cv::Mat picture(kImageSize, kImageSize, CV_8UC3);
  std::copy(rgb.begin(), rgb.end(), picture.data);
  const Vec background = margin_colour(picture);
  Detection detection{.background = nearest_colour(kBackgrounds, background).row, .objects = {}};
  for (const auto& blob : find_blobs(picture, background))
    detection.objects.push_back(name_blob(picture, blob, background));
  std::ranges::stable_sort(detection.objects, {}, [](const DetectedObject& found) { return found.object.place; });
  return detection;
}

}  // namespace polyphony::scenes
