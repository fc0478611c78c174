// SPDX-License-Identifier: Apache-2.0
// One row a model.
#include "pipelines/forward/forward_table.h"

#include "pipelines/dit_moe/config.h"

namespace polyphony::pipelines {

const std::vector<ForwardRow>& forward_table() {
  // A DiT-MoE of ours, and the same weights as a transformer of diffusers.
  const auto dit_moe = [](const char* architecture) {
    return ForwardRow{.architecture = architecture,
                      .required = {"x", "t", "y"},
                      .optional = {},
                      .inputs = "x (B, C, H, W); t (B), used as it is; y i64 (B), num_classes is the null class",
                      .outputs = "out (B, C or 2 C, H, W), f32",
                      .run = &forward_dit_moe,
                      .exact = {"t"}};
  };
  static const std::vector<ForwardRow> rows = {
      {.architecture = "AutoencoderKL",
       .required = {"image"},
       .optional = {},
       .inputs = "image (B, C, H, W), -1..1",
       .outputs = "mean, logvar (B, c, h, w); decoded (B, C, H, W) from the mean",
       .run = &forward_autoencoder_kl},
      dit_moe(kDitMoeModelType),
      dit_moe(kDitMoeClassName),
  };
  return rows;
}

}  // namespace polyphony::pipelines
