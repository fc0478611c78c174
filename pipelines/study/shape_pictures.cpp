// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/shape_pictures.h"

#include <ATen/ATen.h>

#include <array>

#include "core/rng.h"
#include "pipelines/data/scenes/render.h"
#include "pipelines/data/scenes/rng.h"

namespace polyphony::pipelines {
namespace {

constexpr int kRadii = 6, kSmallestRadius = 7;  // 7 to 12 pixels of a cell, which is twice as wide as a picture
constexpr int kShift = 4;                       // pixels of a cell, to every side
constexpr int kScale = scenes::kCellSize / static_cast<int>(kShapePictureSide);

// Masks of all shapes at all radii: each costs milliseconds, so they are made once.
const scenes::Mask& mask_of(uint32_t shape, uint32_t radius) {
  static const auto masks = [] {
    std::array<std::array<scenes::Mask, kRadii>, scenes::kShapes.size()> all;
    for (size_t s = 0; s < all.size(); ++s)
      for (size_t r = 0; r < kRadii; ++r)
        all[s][r] =
            scenes::shape_mask(static_cast<int>(s), static_cast<float>(kSmallestRadius) + static_cast<float>(r));
    return all;
  }();
  return masks[shape][radius];
}

double uniform(scenes::Rng& rng) { return static_cast<double>(rng.next() >> 11) * 0x1p-53; }

// Share of picture pixel (row, column) that the shifted shape covers.
double coverage(const scenes::Mask& mask, int row, int column, int down, int right) {
  int sum = 0;
  for (int i = 0; i < kScale * kScale; ++i) {
    const int y = row * kScale + i / kScale - down, x = column * kScale + i % kScale - right;
    const bool inside = y >= 0 && y < scenes::kCellSize && x >= 0 && x < scenes::kCellSize;
    if (inside) sum += mask[static_cast<size_t>(y * scenes::kCellSize + x)];
  }
  return sum / (255.0 * kScale * kScale);
}

uint32_t draw(scenes::Rng& rng, const ShapePictureOptions& options, float* pixels) {
  const uint32_t shape = rng.below(static_cast<uint32_t>(kNumShapes));
  const auto& mask = mask_of(shape, rng.below(kRadii));
  const int down = static_cast<int>(rng.below(2 * kShift + 1)) - kShift;
  const int right = static_cast<int>(rng.below(2 * kShift + 1)) - kShift;
  const double contrast = options.least_contrast + (1 - options.least_contrast) * uniform(rng);
  const double dark = (1 - contrast) * uniform(rng);
  const bool bright_shape = rng.one_in(2);
  for (int i = 0; i < kShapePictureSide * kShapePictureSide; ++i) {
    const int side = static_cast<int>(kShapePictureSide);
    const double covered = coverage(mask, i / side, i % side, down, right);
    pixels[i] = static_cast<float>(dark + contrast * (bright_shape ? covered : 1 - covered));
  }
  return shape;
}

}  // namespace

ShapePictures shape_pictures(uint64_t seed, std::string_view stream, uint64_t index, int64_t count,
                             const ShapePictureOptions& options) {
  const uint64_t batch_seed = derive_seed(seed, stream, index);
  scenes::Rng rng(batch_seed);
  auto generator = make_generator(batch_seed);
  constexpr int64_t side = kShapePictureSide;
  auto pixels_BCYX = at::empty({count, 1, side, side});
  auto label_B = at::empty({count}, at::kLong);
  for (int64_t b = 0; b < count; ++b)
    label_B.mutable_data_ptr<int64_t>()[b] =
        draw(rng, options, pixels_BCYX.mutable_data_ptr<float>() + b * side * side);
  pixels_BCYX += options.noise * at::randn(pixels_BCYX.sizes(), generator);
  return {.pixels_BCYX = pixels_BCYX.clamp(0, 1), .label_B = label_B};
}

}  // namespace polyphony::pipelines
