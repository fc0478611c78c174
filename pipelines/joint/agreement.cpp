// SPDX-License-Identifier: Apache-2.0
#include "pipelines/joint/agreement.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/rng.h"
#include "modalities/latent/patchify.h"

namespace polyphony::pipelines {
namespace {

constexpr double kTime = 0.8;  // the words decide, and a guess of the model's about the place inside a cell does not
// Scenes have errors of 0.002 to 0.05, an empty picture 0.5 and photographs 2 and more.
constexpr double kErrorScale = 0.15;

}  // namespace

double caption_agreement(const JointBundle& bundle, const at::Tensor& pixels_1CHW,
                         const std::vector<int64_t>& caption) {
  const c10::InferenceMode inference;
  auto& autoencoder = *bundle.autoencoder;
  const auto x0 = autoencoder.to_latent(autoencoder.encode(pixels_1CHW).mean).to(at::kFloat);
  auto generator = make_generator(0);
  const auto noise = at::randn(x0.sizes(), generator);
  const JointInput input{.texts = {.draw = {caption}},
                         .noisy_BCHW = (1 - kTime) * x0 + kTime * noise,
                         .t_B = at::full({1}, kTime, at::kFloat)};
  const auto squared = (bundle.model->forward(input).clean_BCHW - x0).square();
  const auto error_L = latent::patchify(squared, {.patch = bundle.config.latent_patch}).mean(-1);
  return std::exp(-error_L.max().item<double>() / kErrorScale);
}

}  // namespace polyphony::pipelines
