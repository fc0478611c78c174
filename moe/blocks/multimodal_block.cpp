// SPDX-License-Identifier: Apache-2.0
#include "moe/blocks/multimodal_block.h"

#include <ATen/ATen.h>

#include "core/ops/modulate_rows/modulate_rows.h"

namespace polyphony::moe {

MultimodalBlock::MultimodalBlock(const nn::AttentionOptions& attention, const MoEConfig& moe, double norm_eps) {
  attention_norm_ = register_module(
      "attention_norm", std::make_shared<nn::RmsNorm>(nn::RmsNormOptions{.dim = attention.dim, .eps = norm_eps}));
  attention_ = register_module("attention", std::make_shared<nn::Attention>(attention));
  moe_norm_ = register_module("moe_norm",
                              std::make_shared<nn::RmsNorm>(nn::RmsNormOptions{.dim = attention.dim, .eps = norm_eps}));
  moe_ = register_module("moe", std::make_shared<MoELayer>(moe));
  ada_ln_ = register_module("ada_ln", std::make_shared<nn::AdaLnZero>(attention.dim));
}

BlockOutput MultimodalBlock::forward(const at::Tensor& x_TD, const BlockInput& input, const Routing* replay) {
  auto run_moe = [&](const at::Tensor& h_TD) {
    if (replay) return moe_->forward(h_TD, *replay);
    RoutingContext context = input.routing;
    context.x_TD = h_TD;
    return moe_->forward(std::move(context));
  };
  if (!input.condition_CD.defined()) {
    const auto x1_TD = x_TD + attention_->forward(attention_norm_->forward(x_TD), input.layout, input.rope);
    auto moe = run_moe(moe_norm_->forward(x1_TD));
    return {x1_TD + moe.y_TD, std::move(moe.routing)};
  }
  const auto m = ada_ln_->forward(input.condition_CD);
  const auto modulated = [&](const at::Tensor& h_TD, const at::Tensor& shift_CD, const at::Tensor& scale_CD) {
    return ops::modulate_rows(h_TD, shift_CD, scale_CD, input.condition_T);
  };
  const auto a_TD = modulated(attention_norm_->forward(x_TD), m.attention_shift, m.attention_scale);
  const auto b_TD = attention_->forward(a_TD, input.layout, input.rope);
  const auto x1_TD = ops::gated_sum_rows(x_TD, b_TD, m.attention_gate, input.condition_T);
  auto moe = run_moe(modulated(moe_norm_->forward(x1_TD), m.mlp_shift, m.mlp_scale));
  return {ops::gated_sum_rows(x1_TD, moe.y_TD, m.mlp_gate, input.condition_T), std::move(moe.routing)};
}

}  // namespace polyphony::moe
