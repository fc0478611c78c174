// SPDX-License-Identifier: Apache-2.0
// Examples from a generator seeded by the stream's seed and the example's index.
#include "pipelines/data/scenes/dataset.h"

#include "pipelines/data/scenes/grammar.h"
#include "pipelines/data/scenes/render.h"

namespace polyphony::scenes {

Example SceneStream::operator[](uint64_t index) const {
  Rng rng(seed_, index);
  auto scene = random_scene(rng, split_);
  auto words = caption(scene, rng);
  auto rgb = render_scene(scene);
  return {.scene = std::move(scene), .rgb = std::move(rgb), .caption = std::move(words)};
}

Scene SceneStream::scene(uint64_t index) const {
  Rng rng(seed_, index);
  return random_scene(rng, split_);
}

}  // namespace polyphony::scenes
