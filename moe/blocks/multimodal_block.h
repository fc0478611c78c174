// SPDX-License-Identifier: Apache-2.0
// One transformer block of the joint trunk: shared attention over all modalities, then the modality-aware MoE.
// Shapes: T tokens, D width, C conditions (one a sample that has a timestep).
#pragma once
#include <torch/nn/module.h>

#include <memory>

#include "core/nn/ada_ln.h"
#include "core/nn/attention.h"
#include "core/nn/rms_norm.h"
#include "moe/moe_layer.h"

namespace polyphony::moe {

// Everything that is the same for all blocks of one forward pass.
struct BlockInput {
  const nn::AttentionLayout& layout;
  const nn::RopeTable& rope;
  const at::Tensor& condition_CD;  // timestep embeddings; undefined when no token is conditioned
  const at::Tensor& condition_T;   // i64: 0 = unconditioned token, c + 1 = row c of condition_CD
  RoutingContext routing = {};     // x_TD and state_TP are filled in by the block
};

struct BlockOutput {
  at::Tensor x_TD = {};
  Routing routing = {};
};

class MultimodalBlock : public torch::nn::Module {
 public:
  MultimodalBlock(const nn::AttentionOptions& attention, const MoEConfig& moe, double norm_eps);

  // x += gate * attention(modulate(norm(x)));  x += gate * moe(modulate(norm(x))).
  // Unconditioned tokens have shift 0, scale 0 and gate 1. `replay`, if given, replaces the router's decision.
  BlockOutput forward(const at::Tensor& x_TD, const BlockInput& input, const Routing* replay = nullptr);

  const std::shared_ptr<MoELayer>& moe() const { return moe_; }

 private:
  std::shared_ptr<nn::RmsNorm> attention_norm_, moe_norm_;
  std::shared_ptr<nn::Attention> attention_;
  std::shared_ptr<MoELayer> moe_;
  std::shared_ptr<nn::AdaLnZero> ada_ln_;
};

}  // namespace polyphony::moe
