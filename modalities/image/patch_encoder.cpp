// SPDX-License-Identifier: Apache-2.0
#include "modalities/image/patch_encoder.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::image {

namespace {

constexpr int64_t kChannels = 3;

}  // namespace

at::Tensor patchify(const at::Tensor& pixels_BCYX, int64_t patch_size) {
  check<ShapeError>(pixels_BCYX.dim() == 4, "[patchify] pixels must be (B, C, Y, X), got ", pixels_BCYX.sizes());
  const int64_t B = pixels_BCYX.size(0), C = pixels_BCYX.size(1), Y = pixels_BCYX.size(2), X = pixels_BCYX.size(3);
  check<ShapeError>(patch_size >= 1 && Y % patch_size == 0 && X % patch_size == 0,
                    "[patchify] sides must be multiples of ", patch_size, ", got ", Y, " x ", X);
  const int64_t rows = Y / patch_size, columns = X / patch_size;
  return pixels_BCYX.reshape({B, C, rows, patch_size, columns, patch_size})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({B, rows * columns, C * patch_size * patch_size});
}

at::Tensor unpatchify(const at::Tensor& patch_BLV, int64_t patch_size, int64_t rows) {
  check<ShapeError>(patch_BLV.dim() == 3, "[unpatchify] patches must be (B, L, V), got ", patch_BLV.sizes());
  const int64_t B = patch_BLV.size(0), L = patch_BLV.size(1), V = patch_BLV.size(2);
  const int64_t area = patch_size * patch_size;
  check<ShapeError>(patch_size >= 1 && rows >= 1 && L % rows == 0 && V % area == 0, "[unpatchify] expected ", rows,
                    " rows of patches of side ", patch_size, ", got ", patch_BLV.sizes());
  const int64_t columns = L / rows, C = V / area;
  return patch_BLV.reshape({B, rows, columns, C, patch_size, patch_size})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape({B, C, rows * patch_size, columns * patch_size});
}

PatchEncoder::PatchEncoder(const PatchEncoderConfig& config) : config_(config) {
  check<ConfigError>(config.patch_size >= 1 && config.image_size >= 1 && config.image_size % config.patch_size == 0,
                     "[patch_encoder] image_size must be a multiple of patch_size, got ", config.image_size, " and ",
                     config.patch_size);
  check<ConfigError>(config.dim >= 1 && config.hidden >= 1, "[patch_encoder] dim and hidden must be at least 1, got ",
                     config.dim, " and ", config.hidden);
  const int64_t patch_values = kChannels * config.patch_size * config.patch_size;
  patch_to_hidden_ = register_module("patch_to_hidden", nn::Linear(patch_values, config.hidden));
  hidden_to_token_ = register_module("hidden_to_token", nn::Linear(config.hidden, config.dim));
}

int64_t PatchEncoder::tokens_per_image() const {
  const int64_t rows = config_.image_size / config_.patch_size;
  return rows * rows;
}

TokenSequence PatchEncoder::forward(const at::Tensor& pixels_BCYX) {
  const int64_t side = config_.image_size;
  check<ShapeError>(pixels_BCYX.dim() == 4 && pixels_BCYX.size(1) == kChannels && pixels_BCYX.size(2) == side &&
                        pixels_BCYX.size(3) == side && pixels_BCYX.is_floating_point(),
                    "[patch_encoder] pixels must be float (B, 3, ", side, ", ", side, "), got ", pixels_BCYX.sizes());
  const int64_t B = pixels_BCYX.size(0), L = tokens_per_image(), T = B * L, rows = side / config_.patch_size;
  const at::Tensor patch_TV = patchify(pixels_BCYX, config_.patch_size).flatten(0, 1);
  const auto on_device = at::TensorOptions().device(pixels_BCYX.device());
  const at::Tensor index_T = at::arange(L, on_device.dtype(at::kLong)).repeat({B});

  TokenSequence out;
  out.tokens_TD = hidden_to_token_->forward(at::silu(patch_to_hidden_->forward(patch_TV)));
  out.modality_T = at::full({T}, static_cast<int64_t>(Modality::image), on_device.dtype(at::kByte));
  out.position_TA =
      at::stack({at::zeros_like(index_T), index_T.floor_divide(rows), index_T.remainder(rows)}, 1).to(at::kFloat);
  out.span_T = at::zeros({T}, on_device.dtype(at::kLong));
  out.token_id_T = index_T;
  for (int64_t b = 1; b <= B; ++b) out.sample_offsets.push_back(b * L);
  return out;
}

}  // namespace polyphony::image
