// SPDX-License-Identifier: Apache-2.0
// The joint model: one trunk that draws (text to latents by flow matching) and captions (image to text).
// Shapes: B draw samples, N caption samples, T packed tokens, V vocabulary, C latent channels.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/config.h"
#include "core/nn/linear.h"
#include "core/nn/timestep_embedding.h"
#include "modalities/image/patch_encoder.h"
#include "moe/backbone/backbone.h"
#include "pipelines/joint/sequence.h"

namespace polyphony::pipelines {

struct JointConfig {
  moe::BackboneConfig backbone = {};
  int64_t vocab_size = 0;
  int64_t begin_id = 1, end_id = 2;
  int64_t image_size = 96, image_patch = 32, image_hidden = 512;
  int64_t latent_channels = 4, latent_size = 12, latent_patch = 4;
  int64_t max_text_tokens = 128;

  JointGrid grid() const;
};

// Reads [model] and [moe] of a recipe, or of a config.json (the same keys). Throws ConfigError.
JointConfig joint_config(Config& config);
// About how many parameters a model of that size has, before one is allocated.
double parameter_estimate(const JointConfig& config, int64_t vocab_size);
// Parameters of experts that one token does not pass.
int64_t inactive_parameters(const moe::BackboneConfig& config);
// The config.json text of a model folder, model_type "polyphony_joint".
std::string joint_config_json(const JointConfig& config);

struct JointInput {
  JointTexts texts = {};
  at::Tensor noisy_BCHW = {};   // scaled latents at time t; undefined without draw samples
  at::Tensor t_B = {};          // f32 in [0, 1]; 1 is pure noise
  at::Tensor pixels_NCHW = {};  // f32 in [-1, 1]; undefined without caption samples
};

struct JointOutput {
  at::Tensor clean_BCHW = {};  // predicted clean latents, f32
  at::Tensor logits_PV = {};   // next-word logits, f32: of predict_rows when texts are complete, else of last_rows
  at::Tensor targets_P = {};   // i64, only when texts are complete
  std::vector<moe::Routing> routings = {};
  TokenSequence fields = {};  // modality, spans and samples of the packed tokens (no tokens_TD)
};

class JointModel : public torch::nn::Module {
 public:
  explicit JointModel(const JointConfig& config);
  // Throws ShapeError when pixels or latents do not have the configured size.
  JointOutput forward(const JointInput& input, const moe::BackboneOptions& options = {});
  const JointConfig& config() const { return config_; }
  const std::shared_ptr<moe::Backbone>& backbone() const { return backbone_; }

 private:
  JointConfig config_;
  torch::nn::Embedding text_embedding_{nullptr};
  std::shared_ptr<image::PatchEncoder> image_encoder_;
  nn::Linear latent_in_{nullptr}, latent_out_{nullptr};
  std::shared_ptr<nn::TimestepEmbedder> timestep_;
  std::shared_ptr<moe::Backbone> backbone_;
  std::shared_ptr<nn::RmsNorm> text_norm_, latent_norm_;
  std::shared_ptr<nn::FinalAdaLn> latent_ada_ln_;
};

}  // namespace polyphony::pipelines
