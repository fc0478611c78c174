// SPDX-License-Identifier: Apache-2.0
// The judge: recovers a scene from a picture with thresholds and templates alone, nothing learned.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "pipelines/data/scenes/scene.h"

namespace polyphony::scenes {

struct DetectedObject {
  Object object;            // the nearest of each attribute
  float confidence = 0.0f;  // 0..1: the smaller of template overlap (IoU) and colour margin; true renderings reach 0.9
};

struct Detection {
  uint8_t background = 0;               // row of kBackgrounds, the nearest
  std::vector<DetectedObject> objects;  // any number, in the order of their places; two may share a place
};

// A blob below this confidence looks like no shape or no colour of ours: it is something extra, never a right object.
inline constexpr float kMinConfidence = 0.35f;

// rgb: kImageBytes, 0..255, rows from the top, channels last. Blobs below 30 pixels are not seen: a small star has 80.
// A picture without blobs has no objects. Throws ShapeError for another number of bytes.
// Method: background = median of the cells' margins; blobs = connected pixels unlike it; colour = median of the blob's
// strongest pixels; coverage by projecting on the line from background to colour; shape and size = the template of any
// radius with the largest overlap; place = the cell of the blob's middle.
Detection detect_scene(std::span<const uint8_t> rgb);

}  // namespace polyphony::scenes
