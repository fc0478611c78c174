// SPDX-License-Identifier: Apache-2.0
#include "moe/blocks/parallel_block.h"

#include <ATen/ATen.h>

namespace polyphony::moe {

ParallelBlock::ParallelBlock(ParallelBlockOptions o) : num_attention_experts_(o.attention.num_experts) {
  const int64_t D = o.moe.router.model_dim;
  o.attention.dim = D;
  o.attention_router.model_dim = D;
  o.attention_router.num_experts = num_attention_experts_;
  norm_ = register_module("norm", std::make_shared<nn::RmsNorm>(nn::RmsNormOptions{.dim = D, .eps = o.norm_eps}));
  attention_router_ = register_module("attention_gate", make_router(o.attention_router));
  attention_ = register_module("attention", std::make_shared<AttentionExperts>(o.attention));
  moe_ = register_module("moe", std::make_shared<MoELayer>(o.moe));
}

ParallelBlockOutput ParallelBlock::forward(const at::Tensor& x_TD, const nn::AttentionLayout& layout,
                                           const nn::RopeTable& rope, RoutingContext context) {
  context.x_TD = norm_->forward(x_TD);
  context.training = is_training();
  auto to_attention = context;
  to_attention.allowed_ME = at::ones({kNumModalities, num_attention_experts_}, x_TD.options().dtype(at::kBool));
  auto attention_routing = attention_router_->route(to_attention);
  const auto attended_TD = attention_->forward(context.x_TD, layout, rope, attention_routing);
  auto moe = moe_->forward(std::move(context));
  return {.x_TD = x_TD + attended_TD + moe.y_TD,
          .routing = std::move(moe.routing),
          .attention_routing = std::move(attention_routing)};
}

}  // namespace polyphony::moe
