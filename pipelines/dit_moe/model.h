// SPDX-License-Identifier: Apache-2.0
// DiT-MoE: a class label and a time, noisy latents in, velocity or noise out.
// Shapes: B samples, C latent channels, H = W = input_size, S patches a sample, T = B * S, D width.
#pragma once
#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/nn/ada_ln.h"
#include "core/nn/label_embedder.h"
#include "core/nn/timestep_embedding.h"
#include "moe/blocks/dit_block.h"
#include "pipelines/dit_moe/packed_model.h"

namespace polyphony::pipelines {

struct DitMoeInput {
  at::Tensor x_BCHW = {};  // scaled latents
  at::Tensor t_B = {};     // any number type, used as it is: [0, 1] for rectified flow (unscaled), 0..999 for DDPM
  at::Tensor y_B = {};     // i64 class; num_classes is the null class
  at::Tensor modulation_BM = {};  // what modulations(t_B, y_B) gave; undefined: computed here
};

struct DitMoeOptions {
  std::optional<at::Generator> generator = {};        // of label dropout, in training mode
  const std::vector<moe::Routing>* replay = nullptr;  // one routing a layer, used instead of the routers' own
  std::function<void(int64_t layer, const moe::DitBlockOutput& output)> on_block = {};  // taps
  int64_t step = 0;  // optimiser step, for router schedules
};

struct DitMoeOutput {
  at::Tensor out_BCHW = {};  // f32; in_channels of prediction, then as many of variance where the model learns it
  std::vector<moe::Routing> routings = {};  // one a layer
};

// Modules: x_embedder, t_embedder, y_embedder, blocks, final_ada_ln, final_linear; buffer pos_embed (1, S, D).
// Initialised as published, so that the untrained network gives 0.
// Source: DiT-MoE (arXiv:2407.11633), section 2, and its code where the paper is silent.
class DitMoe : public torch::nn::Module {
 public:
  // Throws ConfigError.
  explicit DitMoe(const DitMoeConfig& config);

  // Throws ShapeError for a shape or type, DataError for a label, that does not fit.
  DitMoeOutput forward(const DitMoeInput& input, const DitMoeOptions& options = {});

  // alpha times the sum of the layers' balance losses (0 for routers without scores); f32 scalar. The published code
  // adds its gradient unseen.
  at::Tensor balance_loss(const std::vector<moe::Routing>& routings) const;

  // Weights and activations in `dtype`; the routers' gates stay f32, since their rounding changes the choice.
  void set_dtype(at::ScalarType dtype);

  // From here on for inference on this CPU alone: weights are packed for products in bf16 and the plain ones given up,
  // so that the model can no longer be trained, saved or converted. forward then takes no replay and no taps.
  void pack();
  bool packed() const { return packed_ != nullptr; }

  // What a packed model computes from the condition alone, f32 (B, M): many times and classes at once read the weights
  // of the modulations, which are as large as those of attention, once. Throws ConfigError for one that is not packed.
  at::Tensor modulations(const at::Tensor& t_B, const at::Tensor& y_B);

  const DitMoeConfig& config() const { return config_; }
  const std::vector<std::shared_ptr<moe::DitBlock>>& blocks() const { return blocks_; }

 private:
  void check_input(const DitMoeInput& input) const;
  DitMoeOutput forward_packed(const DitMoeInput& input, const DitMoeOptions& options);

  DitMoeConfig config_;
  torch::nn::Linear x_embedder_, final_linear_;
  std::shared_ptr<nn::TimestepEmbedder> t_embedder_;
  std::shared_ptr<nn::LabelEmbedder> y_embedder_;
  std::vector<std::shared_ptr<moe::DitBlock>> blocks_;
  std::shared_ptr<nn::FinalAdaLn> final_ada_ln_;
  at::Tensor pos_embed_;
  std::shared_ptr<const PackedDitMoe> packed_;
};

}  // namespace polyphony::pipelines
