// SPDX-License-Identifier: Apache-2.0
#include "moe/blocks/dit_block.h"

#include <ATen/ATen.h>

#include "core/nn/layer_norm.h"

namespace polyphony::moe {
namespace {

at::Tensor modulated_norm(const at::Tensor& x_BSD, const at::Tensor& shift_BD, const at::Tensor& scale_BD, double eps) {
  return nn::modulate(nn::layer_norm(x_BSD, {}, {}, eps), shift_BD.unsqueeze(1), scale_BD.unsqueeze(1)).flatten(0, 1);
}

}  // namespace

DitBlock::DitBlock(const DitBlockOptions& options) : norm_eps_(options.norm_eps) {
  const int64_t D = options.moe.router.model_dim;
  attention_ = register_module("attention", std::make_shared<nn::Attention>(nn::AttentionOptions{
                                                .dim = D,
                                                .num_heads = options.num_heads,
                                                .rotary = false,
                                                .qk_norm = options.qk_norm,
                                                .qk_norm_kind = nn::QkNorm::layer,
                                                .bias = true,
                                            }));
  moe_ = register_module("moe", std::make_shared<MoELayer>(options.moe));
  ada_ln_ = register_module("ada_ln", std::make_shared<nn::AdaLnZero>(D));
}

DitBlockOutput DitBlock::forward(const at::Tensor& x_BSD, const at::Tensor& condition_BD,
                                 const nn::AttentionLayout& layout, RoutingContext context, const Routing* replay) {
  const auto m = ada_ln_->forward(condition_BD);
  const auto attended_TD =
      attention_->forward(modulated_norm(x_BSD, m.attention_shift, m.attention_scale, norm_eps_), layout, {});
  const auto mid_BSD = at::addcmul(x_BSD, m.attention_gate.unsqueeze(1), attended_TD.view(x_BSD.sizes()));
  const auto moe_in_TD = modulated_norm(mid_BSD, m.mlp_shift, m.mlp_scale, norm_eps_);
  context.x_TD = moe_in_TD;
  auto moe = replay ? moe_->forward(moe_in_TD, *replay) : moe_->forward(std::move(context));
  return {.x_BSD = at::addcmul(mid_BSD, m.mlp_gate.unsqueeze(1), moe.y_TD.view(x_BSD.sizes())),
          .routing = std::move(moe.routing),
          .moe_in_TD = moe_in_TD,
          .moe_out_TD = std::move(moe.y_TD)};
}

}  // namespace polyphony::moe
