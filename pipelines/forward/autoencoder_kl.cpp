// SPDX-License-Identifier: Apache-2.0
// AutoencoderKL: an image to its moments, and their mean back to an image.
#include "modalities/latent/autoencoder_kl.h"
#include "core/check.h"
#include "modalities/latent/autoencoder_io.h"
#include "pipelines/forward/forward_table.h"

namespace polyphony::pipelines {

TensorMap forward_autoencoder_kl(const ForwardInputs& inputs) {
  const auto model = latent::load_autoencoder(inputs.folder).model;
  model->to(inputs.device, inputs.dtype);
  model->eval();
  const auto& image = inputs.tensors.at("image");
  const auto& config = model->config();
  const auto fits = [&](int64_t axis) { return image.size(axis) > 0 && image.size(axis) % config.downscale() == 0; };
  check<ShapeError>(image.dim() == 4 && image.size(1) == config.in_channels && fits(2) && fits(3),
                    "[image] expected (B, ", config.in_channels, ", H, W) with sides that are multiples of ",
                    config.downscale(), ", got ", image.sizes());
  check<ShapeError>(image.is_floating_point(), "[image] expected a floating type, got ", image.scalar_type());
  const auto moments = model->encode(image);
  return {{"mean", moments.mean}, {"logvar", moments.logvar}, {"decoded", model->decode(moments.mean)}};
}

}  // namespace polyphony::pipelines
