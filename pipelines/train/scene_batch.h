// SPDX-License-Identifier: Apache-2.0
// Batches of rendered scenes as tensors. Example i of a stream is a pure function of (seed, i).
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "pipelines/data/scenes/dataset.h"

namespace polyphony::pipelines {

struct SceneBatch {
  at::Tensor pixels_BCHW = {};  // f32 in [-1, 1], RGB
  std::vector<std::string> captions = {};
  std::vector<scenes::Scene> scenes = {};
};

// Examples [first, first + count) of the stream.
SceneBatch scene_batch(const scenes::SceneStream& stream, uint64_t first, int64_t count);

// Pictures (B, 3, H, W) for the autoencoder, f32 in [-1, 1]: every second one is a scene, the others put the objects of
// four scenes on one background, so that more of the picture teaches something. No held-out combination appears in a
// training stream's pictures: each cell comes from a scene of the stream.
at::Tensor dense_scene_batch(const scenes::SceneStream& stream, uint64_t first, int64_t count);

// u8 (H, W, 3) or (B, H, W, 3) <-> f32 channels first in [-1, 1]. To bytes: round(127.5 x + 127.5), clamped.
at::Tensor pixels_from_bytes(const at::Tensor& bytes);
at::Tensor bytes_from_pixels(const at::Tensor& pixels);

// A contact sheet: pictures (B, H, W, 3) u8 in rows of `columns`, two pixels apart. Returns u8 (H', W', 3).
at::Tensor contact_sheet(const at::Tensor& pictures_BHWC, int64_t columns);

}  // namespace polyphony::pipelines
