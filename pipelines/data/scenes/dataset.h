// SPDX-License-Identifier: Apache-2.0
// An endless stream of (scene, picture, caption), addressed by index, so that training resumes exactly.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pipelines/data/scenes/split.h"

namespace polyphony::scenes {

struct Example {
  Scene scene;
  std::vector<uint8_t> rgb;  // kImageBytes, as render_scene writes it
  std::string caption;
};

class SceneStream {
 public:
  SceneStream(uint64_t seed, Split split) : seed_(seed), split_(split) {}

  // The example at `index`: a pure function of seed, split and index, the same on every machine.
  Example operator[](uint64_t index) const;

  // The scene alone, without drawing it or putting it in words; equal to (*this)[index].scene.
  Scene scene(uint64_t index) const;

 private:
  uint64_t seed_;
  Split split_;
};

}  // namespace polyphony::scenes
