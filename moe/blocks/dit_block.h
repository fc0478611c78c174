// SPDX-License-Identifier: Apache-2.0
// One block of DiT-MoE: attention and an MoE layer, both shifted, scaled and gated by the condition (adaLN-Zero).
// Shapes: B samples of S tokens, T = B * S, D width.
#pragma once
#include <torch/nn/module.h>

#include <memory>

#include "core/nn/ada_ln.h"
#include "core/nn/attention.h"
#include "moe/moe_layer.h"

namespace polyphony::moe {

struct DitBlockOptions {
  int64_t num_heads = 0;
  bool qk_norm = false;    // layer norm of each query and key head
  double norm_eps = 1e-6;  // of the two layer norms, which have no weights
  MoEConfig moe = {};      // moe.router.model_dim is the block's width
};

struct DitBlockOutput {
  at::Tensor x_BSD = {};
  Routing routing = {};
  at::Tensor moe_in_TD = {};  // what the router and the experts saw
  at::Tensor moe_out_TD = {};
};

// Modules: attention, moe, ada_ln.
class DitBlock : public torch::nn::Module {
 public:
  explicit DitBlock(const DitBlockOptions& options);

  // x += gate * attention(modulate(norm(x)));  x += gate * moe(modulate(norm(x))), with the six modulations of
  // condition_BD. `context` is the same for all blocks; the block fills in x_TD. `replay` replaces the router's choice.
  // Source: DiT-MoE (arXiv:2407.11633), section 2; adaLN-Zero of arXiv:2212.09748.
  DitBlockOutput forward(const at::Tensor& x_BSD, const at::Tensor& condition_BD, const nn::AttentionLayout& layout,
                         RoutingContext context, const Routing* replay = nullptr);

  const std::shared_ptr<MoELayer>& moe() const { return moe_; }

 private:
  double norm_eps_;
  std::shared_ptr<nn::Attention> attention_;
  std::shared_ptr<MoELayer> moe_;
  std::shared_ptr<nn::AdaLnZero> ada_ln_;
};

}  // namespace polyphony::moe
