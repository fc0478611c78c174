// SPDX-License-Identifier: Apache-2.0
// The decoder of an AutoencoderKL for inference in bf16 on a CPU: weights packed once, maps channels-last.
#pragma once
#include <memory>

#include "modalities/latent/autoencoder_kl.h"

namespace polyphony::latent {

// Operands of products are bf16; sums, group norms, SiLU and the map that residual blocks add to are f32, the
// statistics of a group norm f64 sums over the whole map. Each convolution goes through its map tile by tile, border
// included (ops::conv_map), so that a picture has no seams and takes two or three maps of memory (2.6 kB a pixel at
// Stable Diffusion's size). The same bits for any number of threads.
class Bf16Decoder {
 public:
  // Copies the decoder's weights, of any floating dtype.
  explicit Bf16Decoder(const AutoencoderKL& model);
  ~Bf16Decoder();

  // What AutoencoderKL::decode gives, f32, without gradients. z is floating, on the CPU. Throws ShapeError.
  at::Tensor decode(const at::Tensor& z_BCHW) const;

 private:
  struct Weights;
  std::unique_ptr<const Weights> weights_;
};

}  // namespace polyphony::latent
