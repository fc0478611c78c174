// SPDX-License-Identifier: Apache-2.0
// Shapes as tests of a point, masks by supersampling, pictures by blending masks into cells.
#include "pipelines/data/scenes/render.h"

#include <cmath>
#include <numbers>

#include "core/check.h"

namespace polyphony::scenes {
namespace {

constexpr int kSamples = 8;  // a pixel side: 64 levels of coverage

// Each shape fills about [-1, 1] on the axis where it is longest; x to the right, y down.
bool in_circle(float x, float y) { return x * x + y * y <= 1.0f; }
bool in_square(float x, float y) { return std::abs(x) <= 1.0f && std::abs(y) <= 1.0f; }
bool in_diamond(float x, float y) { return std::abs(x) + std::abs(y) <= 1.0f; }

bool in_triangle(float x, float y) {
  constexpr float kHalfHeight = 0.866f;
  return y <= kHalfHeight && std::abs(x) <= (y + kHalfHeight) / (2.0f * kHalfHeight);
}

bool in_cross(float x, float y) {
  constexpr float kHalfArm = 0.34f;
  return in_square(x, y) && (std::abs(x) <= kHalfArm || std::abs(y) <= kHalfArm);
}

// Folds the plane onto half of one of the five points, where the edge is one line from tip to notch.
bool in_star(float x, float y) {
  constexpr float kPi = std::numbers::pi_v<float>;
  constexpr float kNotch = 0.44f;         // radius of the inner corners
  constexpr float kCentreShift = 0.095f;  // tips reach 1 up but only 0.81 down
  const float up = kCentreShift - y;
  const float angle = std::abs(std::remainder(std::atan2(x, up), 2.0f * kPi / 5.0f));
  const float radius = std::hypot(x, up);
  const float px = radius * std::cos(angle), py = radius * std::sin(angle);
  const float notch_x = kNotch * std::cos(kPi / 5.0f), notch_y = kNotch * std::sin(kPi / 5.0f);
  return (px - 1.0f) * notch_y - py * (notch_x - 1.0f) <= 0.0f;
}

struct Outline {
  bool (*contains)(float x, float y);
  float extent;  // relative to the circle's radius, so that shapes of one size look equally large
};

// Rows as in kShapes.
constexpr std::array<Outline, kShapes.size()> kOutlines{{{in_circle, 1.0f},
                                                         {in_square, 0.9f},
                                                         {in_triangle, 1.12f},
                                                         {in_star, 1.15f},
                                                         {in_cross, 1.0f},
                                                         {in_diamond, 1.15f}}};

struct Sprites {
  std::array<std::array<Mask, kSizes.size()>, kShapes.size()> masks;

  Sprites() {
    for (size_t shape = 0; shape < kShapes.size(); ++shape) {
      for (size_t size = 0; size < kSizes.size(); ++size)
        masks[shape][size] = shape_mask(static_cast<int>(shape), kRadii[size]);
    }
  }
};

void fill(const Rgb& colour, std::span<uint8_t> rgb) {
  for (size_t i = 0; i < rgb.size(); i += 3) {
    rgb[i] = colour[0];
    rgb[i + 1] = colour[1];
    rgb[i + 2] = colour[2];
  }
}

uint8_t blend(int back, int front, int coverage) {
  return static_cast<uint8_t>((back * (255 - coverage) + front * coverage + 127) / 255);
}

void draw(const Mask& mask, const Object& object, const Rgb& background, std::span<uint8_t> rgb) {
  const auto& colour = kColours[object.colour].rgb;
  const int top = object.place / kGridSize * kCellSize, left = object.place % kGridSize * kCellSize;
  for (int y = 0; y < kCellSize; ++y) {
    uint8_t* pixel = rgb.data() + ((top + y) * kImageSize + left) * 3;
    for (int x = 0; x < kCellSize; ++x, pixel += 3) {
      const int coverage = mask[y * kCellSize + x];
      if (coverage == 0) continue;
      for (int c = 0; c < 3; ++c) pixel[c] = blend(background[c], colour[c], coverage);
    }
  }
}

}  // namespace

Mask shape_mask(int shape, float radius) {
  const auto& outline = kOutlines.at(static_cast<size_t>(shape));
  const float scale = 1.0f / (radius * outline.extent);
  Mask mask{};
  for (int y = 0; y < kCellSize; ++y) {
    for (int x = 0; x < kCellSize; ++x) {
      int inside = 0;
      for (int sample = 0; sample < kSamples * kSamples; ++sample) {
        const float sub_x = (static_cast<float>(sample % kSamples) + 0.5f) / kSamples;
        const float sub_y = (static_cast<float>(sample / kSamples) + 0.5f) / kSamples;
        const float px = static_cast<float>(x) + sub_x - kCellSize / 2.0f;
        const float py = static_cast<float>(y) + sub_y - kCellSize / 2.0f;
        inside += outline.contains(px * scale, py * scale) ? 1 : 0;
      }
      mask[y * kCellSize + x] = static_cast<uint8_t>((inside * 255 + kSamples * kSamples / 2) / (kSamples * kSamples));
    }
  }
  return mask;
}

void render_scene(const Scene& scene, std::span<uint8_t> rgb) {
  static const Sprites sprites;
  check<ShapeError>(rgb.size() == kImageBytes, "[render_scene] expected a buffer of ", kImageBytes, " bytes, got ",
                    rgb.size());
  check_scene(scene);
  const auto& background = kBackgrounds[scene.background].rgb;
  fill(background, rgb);
  for (const auto& object : scene.objects) draw(sprites.masks[object.shape][object.size], object, background, rgb);
}

std::vector<uint8_t> render_scene(const Scene& scene) {
  std::vector<uint8_t> rgb(kImageBytes);
  render_scene(scene, rgb);
  return rgb;
}

}  // namespace polyphony::scenes
