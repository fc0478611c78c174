// SPDX-License-Identifier: Apache-2.0
// The batches of the joint objective: scenes, and a user's pictures among them. All are pure functions of (seed, step).
// Shapes: B samples, C channels, H and W of latents or of pixels.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "pipelines/data/scenes/dataset.h"
#include "pipelines/joint/folder.h"
#include "pipelines/train/joint_recipe.h"
#include "pipelines/train/picture_mix.h"

namespace polyphony::pipelines {

// Latents or pixels (B, C, H, W), f32, and the texts that go with them.
struct JointSamples {
  at::Tensor x_BCHW = {};
  std::vector<std::vector<int64_t>> ids = {};
};

class JointData {
 public:
  // `mix` may be empty. The autoencoder's encoder must not change while this lives.
  JointData(const JointRecipe& recipe, JointBundle bundle, PictureMix mix, uint64_t seed);

  // Latents to draw: of a pool that repeats; each batch of it is encoded once, always as the same batch.
  JointSamples to_draw(int64_t step);
  // Pixels to caption: other scenes than the drawn ones, so that a step shows 2 B different ones. They never repeat.
  JointSamples to_caption(int64_t step) const;
  // Pixels (B, C, H, W) of a few scenes that a decoder must not forget.
  at::Tensor to_decode(int64_t step) const;

  const PictureMix& mix() const { return mix_; }

 private:
  std::vector<std::vector<int64_t>> encoded(const std::vector<std::string>& captions) const;
  void put_pictures(JointSamples& samples, const at::Tensor& from_NCHW, const char* use, int64_t step) const;

  JointRecipe recipe_;
  JointBundle bundle_;
  PictureMix mix_;
  uint64_t seed_;
  scenes::SceneStream stream_;
  std::vector<at::Tensor> latents_;  // a batch of the pool each, undefined until it is used
};

}  // namespace polyphony::pipelines
