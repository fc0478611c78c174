// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/patchify.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::latent {

LatentGrid latent_grid(const at::Tensor& latent, int64_t patch) {
  check<ShapeError>(patch >= 1, "[patchify] patch must be at least 1, got ", patch);
  check<ShapeError>(latent.defined() && latent.dim() == 4, "[patchify] expected latents (B, C, H, W), got ",
                    latent.defined() ? latent.dim() : 0, " axes");
  check<ShapeError>(latent.size(2) % patch == 0 && latent.size(3) % patch == 0,
                    "[patchify] height and width must be multiples of the patch ", patch, ", got ", latent.size(2),
                    " x ", latent.size(3));
  return {.batch = latent.size(0), .rows = latent.size(2) / patch, .columns = latent.size(3) / patch};
}

at::Tensor patchify(const at::Tensor& latent, const PatchOptions& options) {
  const LatentGrid grid = latent_grid(latent, options.patch);
  const int64_t P = options.patch, C = latent.size(1);
  const at::Tensor split = latent.reshape({grid.batch, C, grid.rows, P, grid.columns, P});
  const at::Tensor ordered = options.order == PatchOrder::channel_first ? split.permute({0, 2, 4, 1, 3, 5})
                                                                        : split.permute({0, 2, 4, 3, 5, 1});
  return ordered.reshape({grid.num_tokens(), C * P * P});
}

at::Tensor unpatchify(const at::Tensor& patches, const LatentGrid& grid, const PatchOptions& options) {
  const int64_t P = options.patch;
  check<ShapeError>(P >= 1, "[unpatchify] patch must be at least 1, got ", P);
  check<ShapeError>(
      patches.defined() && patches.dim() == 2 && patches.size(0) == grid.num_tokens() && patches.size(1) % (P * P) == 0,
      "[unpatchify] expected (", grid.num_tokens(), ", a multiple of ", P * P, "), got ",
      patches.defined() ? join(patches.sizes()) : "an undefined tensor");
  const int64_t C = patches.size(1) / (P * P);
  const bool channel_first = options.order == PatchOrder::channel_first;
  const at::Tensor split = channel_first ? patches.reshape({grid.batch, grid.rows, grid.columns, C, P, P})
                                         : patches.reshape({grid.batch, grid.rows, grid.columns, P, P, C});
  const at::Tensor ordered = channel_first ? split.permute({0, 3, 1, 4, 2, 5}) : split.permute({0, 5, 1, 3, 2, 4});
  return ordered.reshape({grid.batch, C, grid.rows * P, grid.columns * P});
}

TokenSequence latent_sequence(const at::Tensor& embedded, const LatentGrid& grid) {
  const int64_t T = grid.num_tokens(), patches = grid.rows * grid.columns;
  check<ShapeError>(grid.batch >= 0 && grid.rows >= 1 && grid.columns >= 1,
                    "[latent_sequence] rows and columns must be at least 1, got ", grid.rows, " x ", grid.columns);
  check<ShapeError>(embedded.defined() && embedded.dim() == 2 && embedded.size(0) == T, "[latent_sequence] expected (",
                    T, ", D) for ", grid.batch, " x ", grid.rows, " x ", grid.columns, " patches, got ",
                    embedded.defined() ? join(embedded.sizes()) : "an undefined tensor");
  const auto longs = embedded.options().dtype(at::kLong).requires_grad(false);
  const at::Tensor index_T = at::arange(patches, longs).repeat({grid.batch});
  const at::Tensor row_T = index_T.div(grid.columns, "floor");
  const at::Tensor position_TA = at::stack({at::zeros_like(index_T), row_T, index_T - row_T * grid.columns}, 1);
  TokenSequence sequence{
      .tokens_TD = embedded,
      .modality_T = at::full({T}, static_cast<int64_t>(Modality::latent), longs.dtype(at::kByte)),
      .position_TA = position_TA.to(at::kFloat),
      .span_T = at::zeros({T}, longs),
      .token_id_T = index_T,
  };
  for (int64_t b = 1; b <= grid.batch; ++b) sequence.sample_offsets.push_back(b * patches);
  return sequence;
}

}  // namespace polyphony::latent
