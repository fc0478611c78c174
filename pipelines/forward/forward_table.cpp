// SPDX-License-Identifier: Apache-2.0
// One row a model.
#include "pipelines/forward/forward_table.h"

#include "pipelines/dit_moe/config.h"
#include "pipelines/joint/folder.h"
#include "pipelines/olmoe/config.h"

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
      {.architecture = kJointModelType,
       .required = {},
       .optional = {"latents", "t", "prompt_ids", "pixel_values", "input_ids"},
       .inputs = "latents (B, C, H, W) noisy, t (B) in 0..1, prompt_ids i64 (B, S); or pixel_values (N, 3, H, W) in "
                 "-1..1, input_ids i64 (N, S); or both",
       .outputs = "clean (B, C, H, W): the predicted latents; logits (N, V) of the next word",
       .run = &forward_joint,
       .exact = {"t"}},
      {.architecture = kOlmoeModelType,
       .required = {"input_ids"},
       .optional = {},
       .inputs = "input_ids i64 (B, S)",
       .outputs = "logits (B, S, V) of each next token, f32",
       .run = &forward_olmoe},
      dit_moe(kDitMoeModelType),
      dit_moe(kDitMoeClassName),
  };
  return rows;
}

}  // namespace polyphony::pipelines
