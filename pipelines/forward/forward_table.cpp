// SPDX-License-Identifier: Apache-2.0
// One row a model.
#include "pipelines/forward/forward_table.h"

namespace polyphony::pipelines {

const std::vector<ForwardRow>& forward_table() {
  static const std::vector<ForwardRow> rows = {
      {.architecture = "AutoencoderKL",
       .required = {"image"},
       .optional = {},
       .inputs = "image (B, C, H, W), -1..1",
       .outputs = "mean, logvar (B, c, h, w); decoded (B, C, H, W) from the mean",
       .run = &forward_autoencoder_kl},
  };
  return rows;
}

}  // namespace polyphony::pipelines
