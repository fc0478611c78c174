// SPDX-License-Identifier: Apache-2.0
#include "moe/backbone/backbone.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::moe {

Backbone::Backbone(const BackboneConfig& config) : config_(config) {
  check<ConfigError>(config.dim % config.num_heads == 0, "[backbone] dim must be a multiple of num_heads, got ",
                     config.dim, " and ", config.num_heads);
  int64_t rope_dim = 0;
  for (const int64_t d : config.rope_axis_dims) rope_dim += d;
  check<ConfigError>(rope_dim == config.dim / config.num_heads,
                     "[backbone] rope_axis_dims must sum to dim / num_heads = ", config.dim / config.num_heads,
                     ", got ", rope_dim);
  const nn::AttentionOptions attention{
      .dim = config.dim, .num_heads = config.num_heads, .num_kv_heads = config.num_kv_heads, .qk_norm = config.qk_norm};
  for (int64_t layer = 0; layer < config.depth; ++layer) {
    blocks_.push_back(
        register_module("blocks_" + std::to_string(layer),
                        std::make_shared<MultimodalBlock>(attention, config_of_layer(config.moe, layer, config.depth),
                                                          config.norm_eps)));
    if (layer > 0)
      if (const auto shared = blocks_[0]->moe()->router()->shared_part())
        blocks_[layer]->moe()->router()->share(shared);
  }
}

BackboneOutput Backbone::forward(const TokenSequence& sequence, const Conditioning& conditioning,
                                 const BackboneOptions& options) {
  check_token_sequence(sequence);
  check<ShapeError>(sequence.tokens_TD.size(1) == config_.dim, "[backbone] tokens must have width ", config_.dim,
                    ", got ", sequence.tokens_TD.size(1));
  check<ShapeError>(!options.replay || static_cast<int64_t>(options.replay->size()) == config_.depth,
                    "[backbone] replay needs one routing a layer, ", config_.depth);
  const auto layout = nn::make_attention_layout(sequence);
  const auto rope =
      nn::make_rope_table(sequence.position_TA, {.axis_dims = config_.rope_axis_dims, .theta = config_.rope_theta});
  BlockInput input{.layout = layout,
                   .rope = rope,
                   .condition_CD = conditioning.condition_CD,
                   .condition_T = conditioning.condition_T,
                   .routing = {.modality_T = sequence.modality_T,
                               .token_id_T = sequence.token_id_T,
                               .sample_T = sample_of_token(sequence),
                               .timestep_T = conditioning.timestep_T,
                               .step = options.step,
                               .training = is_training()}};
  BackboneOutput out{.hidden_TD = sequence.tokens_TD, .routings = {}};
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    input.routing.layer = static_cast<int64_t>(layer);
    auto block = blocks_[layer]->forward(out.hidden_TD, input, options.replay ? &(*options.replay)[layer] : nullptr);
    out.hidden_TD = std::move(block.x_TD);
    input.routing.state_TP = block.routing.state_TP;
    out.routings.push_back(std::move(block.routing));
  }
  return out;
}

}  // namespace polyphony::moe
