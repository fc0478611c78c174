// SPDX-License-Identifier: Apache-2.0
// A small picture task: which of the scenes' six shapes is it? Grey pictures of 16 x 16 pixels.
#pragma once
#include <ATen/core/Tensor.h>

#include <string_view>

#include "pipelines/data/scenes/scene.h"

namespace polyphony::pipelines {

inline constexpr int64_t kShapePictureSide = 16;
inline constexpr int64_t kNumShapes = static_cast<int64_t>(scenes::kShapes.size());

struct ShapePictureOptions {
  double least_contrast = 0.3;  // between shape and ground; the most is 1
  double noise = 0.1;           // standard deviation, of each pixel
};

struct ShapePictures {
  at::Tensor pixels_BCYX = {};  // f32 (B, 1, 16, 16) in [0, 1]
  at::Tensor label_B = {};      // i64, row of scenes::kShapes
};

// `count` pictures of batch `index` of a stream ("train", "test"): a pure function of its arguments. Size, place,
// brightness of shape and ground are drawn evenly.
ShapePictures shape_pictures(uint64_t seed, std::string_view stream, uint64_t index, int64_t count,
                             const ShapePictureOptions& options = {});

}  // namespace polyphony::pipelines
