// SPDX-License-Identifier: Apache-2.0
// The parallel block of mixtures of dense models: attention experts and MLP experts read the same normalised input.
#pragma once
#include <torch/nn/module.h>

#include <memory>

#include "core/nn/rms_norm.h"
#include "moe/blocks/attention_experts.h"
#include "moe/moe_layer.h"

namespace polyphony::moe {

struct ParallelBlockOptions {
  AttentionExpertsOptions attention = {};
  RouterConfig attention_router = {};  // of the attention's experts; top-k of all of them is BAM's soft routing
  MoEConfig moe = {};                  // moe.router.model_dim is the block's width
  double norm_eps = 1e-6;
};

struct ParallelBlockOutput {
  at::Tensor x_TD = {};
  Routing routing = {};            // of the MLPs
  Routing attention_routing = {};  // of the attention's experts
};

// x + attention_experts(norm(x)) + moe(norm(x)). Modules: norm, attention_gate, attention, moe.
// Source: BAM (arXiv:2408.08274); its concatenation and projection is the sum of the experts' projections.
class ParallelBlock : public torch::nn::Module {
 public:
  explicit ParallelBlock(ParallelBlockOptions options);
  // `context` is the same for all blocks; the block fills in x_TD and allowed_ME.
  ParallelBlockOutput forward(const at::Tensor& x_TD, const nn::AttentionLayout& layout, const nn::RopeTable& rope,
                              RoutingContext context);

 private:
  int64_t num_attention_experts_;
  std::shared_ptr<nn::RmsNorm> norm_;
  std::shared_ptr<Router> attention_router_;
  std::shared_ptr<AttentionExperts> attention_;
  std::shared_ptr<MoELayer> moe_;
};

}  // namespace polyphony::moe
