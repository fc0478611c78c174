// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/joint_samples.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/rng.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace {

// Where in the stream of scenes each use begins.
constexpr uint64_t kFirstCaptioned = uint64_t{1} << 40, kFirstDecoded = uint64_t{1} << 41;

}  // namespace

JointData::JointData(const JointRecipe& recipe, JointBundle bundle, PictureMix mix, uint64_t seed)
    : recipe_(recipe),
      bundle_(std::move(bundle)),
      mix_(std::move(mix)),
      seed_(seed),
      stream_(seed, scenes::Split::train),
      latents_(static_cast<size_t>(recipe.pool_size / recipe.batch_size)) {}

std::vector<std::vector<int64_t>> JointData::encoded(const std::vector<std::string>& captions) const {
  std::vector<std::vector<int64_t>> ids;
  for (const auto& caption : captions) ids.push_back(bundle_.tokenizer->encode(caption));
  return ids;
}

// The first samples give their places to pictures of the user's folder, drawn with replacement.
void JointData::put_pictures(JointSamples& samples, const at::Tensor& from_NCHW, const char* use, int64_t step) const {
  if (mix_.ids.empty()) return;
  auto generator = make_generator(derive_seed(seed_, use, static_cast<uint64_t>(step)));
  const int64_t count = std::llround(recipe_.picture_share * static_cast<double>(recipe_.batch_size));
  const auto pick = at::randint(std::ssize(mix_.ids), {count}, generator, at::kLong);
  const auto scenes = samples.x_BCHW.narrow(0, count, recipe_.batch_size - count);
  samples.x_BCHW = at::cat({from_NCHW.index_select(0, pick), scenes});
  for (int64_t i = 0; i < count; ++i)
    samples.ids[static_cast<size_t>(i)] = mix_.ids[static_cast<size_t>(pick[i].item<int64_t>())];
}

JointSamples JointData::to_draw(int64_t step) {
  const int64_t B = recipe_.batch_size;
  const auto slot = static_cast<size_t>(step) % latents_.size();
  const auto batch = scene_batch(stream_, static_cast<uint64_t>(slot) * static_cast<uint64_t>(B), B);
  if (!latents_[slot].defined()) {
    const c10::NoGradGuard no_grad;
    const auto mean = bundle_.autoencoder->encode(batch.pixels_BCHW).mean;
    latents_[slot] = bundle_.autoencoder->to_latent(mean.to(at::kFloat)).contiguous();
  }
  JointSamples samples{latents_[slot], encoded(batch.captions)};
  put_pictures(samples, mix_.latents_NCHW, "pictures to draw", step);
  return samples;
}

JointSamples JointData::to_caption(int64_t step) const {
  const int64_t B = recipe_.batch_size;
  const auto batch = scene_batch(stream_, kFirstCaptioned + static_cast<uint64_t>(step * B), B);
  JointSamples samples{batch.pixels_BCHW, encoded(batch.captions)};
  put_pictures(samples, mix_.pixels_NCHW, "pictures to caption", step);
  return samples;
}

at::Tensor JointData::to_decode(int64_t step) const {
  return scene_batch(stream_, kFirstDecoded + static_cast<uint64_t>(step * kDecodedScenes), kDecodedScenes).pixels_BCHW;
}

}  // namespace polyphony::pipelines
