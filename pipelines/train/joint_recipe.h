// SPDX-License-Identifier: Apache-2.0
// What a recipe says about training the joint model, and the model that such a run begins with.
#pragma once
#include <filesystem>

#include "core/base/config.h"
#include "pipelines/joint/folder.h"

namespace polyphony::pipelines {

struct JointRecipe {
  int64_t batch_size = 32;    // scenes a step; each is drawn and captioned
  int64_t pool_size = 65536;  // distinct scenes; their latents are encoded once and kept
  double caption_weight = 1.0, balance_weight = 0.01, z_weight = 1e-4;
  double text_dropout = 0.1;       // share of drawn pictures without their prompt, for guidance
  double min_t = 0.3;              // loss weight 1 / max(t, min_t)^2
  double t_shift = 1.0;            // t = s u / (1 + (s - 1) u) of u uniform in [0, 1]: above 1 more noise
  std::filesystem::path pictures;  // a folder of captioned pictures beside the scenes; empty: scenes alone
  double picture_share = 0.5;      // of the drawn and of the captioned samples of a step that come from it
  std::filesystem::path autoencoder;
  int64_t vocab_size = 0, tokenizer_sentences = 0;
  JointDefaults defaults;
};

// Reads [objective] and [defaults]. Throws ConfigError.
JointRecipe read_joint_recipe(Config& config);

// A new model of the sizes in [model] and [moe], with the recipe's autoencoder and a tokenizer of the scenes' captions.
// Throws ConfigError where they do not fit one another or the scenes, DataError for the autoencoder's folder.
JointBundle new_joint_bundle(const JointRecipe& recipe, Config& config);

// A model folder to go on from: it brings its own autoencoder, tokenizer and sizes; the recipe may leave [model] and
// [moe] out. Throws DataError.
JointBundle joint_bundle_from(const std::filesystem::path& folder, Config& config);

}  // namespace polyphony::pipelines
