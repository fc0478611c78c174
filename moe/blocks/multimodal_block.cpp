// SPDX-License-Identifier: Apache-2.0
#include "moe/blocks/multimodal_block.h"

#include <ATen/ATen.h>

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

namespace {

// The modulation of each token (T, D); a token without a condition has shift 0, scale 0 and gate 1.
nn::BlockModulation modulation_of_token(nn::AdaLnZero& ada_ln, const BlockInput& input) {
  const auto of_token = [&](const at::Tensor& rows_CD, double unconditioned) {
    const auto none_1D = at::full({1, rows_CD.size(1)}, unconditioned, rows_CD.options());
    return at::cat({none_1D, rows_CD}).index_select(0, input.condition_T);
  };
  const auto m = ada_ln.forward(input.condition_CD);
  return {.attention_shift = of_token(m.attention_shift, 0),
          .attention_scale = of_token(m.attention_scale, 0),
          .attention_gate = of_token(m.attention_gate, 1),
          .mlp_shift = of_token(m.mlp_shift, 0),
          .mlp_scale = of_token(m.mlp_scale, 0),
          .mlp_gate = of_token(m.mlp_gate, 1)};
}

}  // namespace

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
  const auto m = modulation_of_token(*ada_ln_, input);
  const auto a_TD = nn::modulate(attention_norm_->forward(x_TD), m.attention_shift, m.attention_scale);
  const auto x1_TD = x_TD + m.attention_gate * attention_->forward(a_TD, input.layout, input.rope);
  auto moe = run_moe(nn::modulate(moe_norm_->forward(x1_TD), m.mlp_shift, m.mlp_scale));
  return {x1_TD + m.mlp_gate * moe.y_TD, std::move(moe.routing)};
}

}  // namespace polyphony::moe
