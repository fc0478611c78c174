// SPDX-License-Identifier: Apache-2.0
// Latent maps to rows of patches and back, and patches as a TokenSequence.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/token_sequence.h"

namespace polyphony::latent {

// How the C * P * P values of one patch are ordered in its row.
enum class PatchOrder {
  channel_first,  // (channel, patch row, patch column): the flattened weight of a P x P convolution; what DiT reads
  channel_last,   // (patch row, patch column, channel): what DiT's final layer writes
};

struct PatchOptions {
  int64_t patch = 2;  // P, latents a side
  PatchOrder order = PatchOrder::channel_first;
};

// Batch and patch grid of a packed set of latents: T = batch * rows * columns tokens, sample by sample, row by row.
struct LatentGrid {
  int64_t batch = 1;
  int64_t rows = 1;
  int64_t columns = 1;

  int64_t num_tokens() const { return batch * rows * columns; }
  bool operator==(const LatentGrid&) const = default;
};

// The grid of a latent map (B, C, H, W); H and W must be multiples of the patch. Throws ShapeError.
LatentGrid latent_grid(const at::Tensor& latent_BCHW, int64_t patch);

// (B, C, H, W) -> (T, C * P * P). Throws ShapeError.
// Source: Scalable Diffusion Models with Transformers (arXiv:2212.09748), section 3.2.
at::Tensor patchify(const at::Tensor& latent_BCHW, const PatchOptions& options);

// (T, C * P * P) -> (B, C, rows * P, columns * P): the inverse. Throws ShapeError.
at::Tensor unpatchify(const at::Tensor& patches_TF, const LatentGrid& grid, const PatchOptions& options);

// Tokens of embedded patches: one sample an image, one span a sample (every patch sees every other), position (0, row,
// column), token_id the patch's index. Throws ShapeError.
TokenSequence latent_sequence(const at::Tensor& embedded_TD, const LatentGrid& grid);

}  // namespace polyphony::latent
