// SPDX-License-Identifier: Apache-2.0
// The trunk: a stack of blocks that processes text, image, audio and latent tokens together.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "moe/blocks/multimodal_block.h"

namespace polyphony::moe {

struct BackboneConfig {
  int64_t dim = 256;
  int64_t depth = 6;
  int64_t num_heads = 4;
  int64_t num_kv_heads = 4;
  bool qk_norm = true;
  double norm_eps = 1e-6;
  double rope_theta = 100.0;                           // few positions: slow rotations would be wasted on them
  std::vector<int64_t> rope_axis_dims = {16, 24, 24};  // order, row, column; sum is dim / num_heads
  MoEConfig moe = {};
};

// What the tokens of a forward pass carry beside the sequence itself.
struct Conditioning {
  at::Tensor condition_CD = {};  // timestep embeddings; undefined when nothing is conditioned
  at::Tensor condition_T = {};   // i64 (T): 0 = unconditioned, c + 1 = row c
  at::Tensor timestep_T = {};    // f32 (T), 0 for tokens without one; may be undefined
};

struct BackboneOptions {
  int64_t step = 0;                              // optimiser step, for router schedules
  const std::vector<Routing>* replay = nullptr;  // one routing a layer, used instead of the routers' own
};

struct BackboneOutput {
  at::Tensor hidden_TD = {};
  std::vector<Routing> routings = {};  // one a layer
};

class Backbone : public torch::nn::Module {
 public:
  explicit Backbone(const BackboneConfig& config);
  // Throws ShapeError if the sequence's width is not config.dim.
  BackboneOutput forward(const TokenSequence& sequence, const Conditioning& conditioning = {},
                         const BackboneOptions& options = {});
  const BackboneConfig& config() const { return config_; }
  const std::vector<std::shared_ptr<MultimodalBlock>>& blocks() const { return blocks_; }

 private:
  BackboneConfig config_;
  std::vector<std::shared_ptr<MultimodalBlock>> blocks_;
};

}  // namespace polyphony::moe
