// SPDX-License-Identifier: Apache-2.0
// Pixels -> patches -> tokens of the image modality.
#pragma once
#include <torch/nn/module.h>

#include "core/nn/linear.h"
#include "core/token_sequence.h"

namespace polyphony::image {

struct PatchEncoderConfig {
  int64_t image_size = 64;  // side of the square images, pixels
  int64_t patch_size = 8;   // side of a patch; divides image_size
  int64_t dim = 256;        // D, the trunk's width
  int64_t hidden = 256;     // width between the two linear maps
};

// Cuts (B, C, Y, X) into square patches: (B, rows * columns, C * P * P). Tokens run row by row; a vector's order is
// channel, row, column. Throws ShapeError if a side is no multiple of patch_size.
at::Tensor patchify(const at::Tensor& pixels_BCYX, int64_t patch_size);

// The inverse of patchify for images of `rows` patch rows. Throws ShapeError.
at::Tensor unpatchify(const at::Tensor& patch_BLV, int64_t patch_size, int64_t rows);

// patch -> Linear -> SiLU -> Linear. Positions are not learned here: they travel in position_TA for the trunk's rotary
// embedding. Source: the patch embedding of ViT (arXiv:2010.11929, section 3.1) with a two-layer map in place of one.
class PatchEncoder : public torch::nn::Module {
 public:
  // Throws ConfigError.
  explicit PatchEncoder(const PatchEncoderConfig& config);

  // pixels: f32 (B, 3, image_size, image_size) in [-1, 1], RGB.
  // Returns B samples of (image_size / patch_size)^2 tokens; one span an image, token_id the patch's index,
  // position (0, row, column). Throws ShapeError.
  TokenSequence forward(const at::Tensor& pixels_BCYX);

  int64_t tokens_per_image() const;

 private:
  PatchEncoderConfig config_;
  nn::Linear patch_to_hidden_{nullptr};
  nn::Linear hidden_to_token_{nullptr};
};

}  // namespace polyphony::image
