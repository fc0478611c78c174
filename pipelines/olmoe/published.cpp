// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/published.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::pipelines {

OlmoeLayer empty_olmoe_layer(const OlmoeConfig& c, at::ScalarType dtype, at::Device device) {
  const int64_t D = c.hidden_size, F = c.intermediate_size, E = c.num_experts;
  const auto f32 = at::TensorOptions(device).dtype(at::kFloat);
  const auto weights = [&](at::IntArrayRef shape) { return nn::Weights{at::empty(shape, f32.dtype(dtype))}; };
  return {.attention_norm_D = at::empty({D}, f32),
          .experts_norm_D = at::empty({D}, f32),
          .qkv = weights({D + 2 * c.kv_size(), D}),
          .q_norm = at::empty({D}, f32),
          .k_norm = at::empty({c.kv_size()}, f32),
          .out = weights({D, D}),
          .gate_ED = at::empty({E, D}, f32),
          .w13_E2FD = weights({E, 2 * F, D}),
          .w2_EDF = weights({E, D, F})};
}

OlmoeModel empty_olmoe_ends(const OlmoeConfig& c, at::ScalarType dtype, at::Device device) {
  const auto options = at::TensorOptions(device).dtype(dtype);
  OlmoeModel model{.config = c,
                   .dtype = dtype,
                   .embedding_VD = at::empty({c.vocab_size, c.hidden_size}, options),
                   .layers = {},
                   .norm_D = at::empty({c.hidden_size}, options.dtype(at::kFloat)),
                   .head_VD = {}};
  model.head_VD.plain = c.tie_word_embeddings ? model.embedding_VD : at::empty_like(model.embedding_VD);
  return model;
}

TensorMap published_layer(const OlmoeConfig& c, const OlmoeLayer& layer, int64_t index) {
  const int64_t D = c.hidden_size, F = c.intermediate_size;
  TensorMap out;
  const auto name = [&](const auto&... parts) { return join("model.layers.", index, ".", parts..., ".weight"); };
  const auto rows = [](const at::Tensor& x, int64_t first, int64_t count) { return x.narrow(0, first, count); };
  out[name("input_layernorm")] = layer.attention_norm_D;
  out[name("post_attention_layernorm")] = layer.experts_norm_D;
  out[name("self_attn.q_norm")] = layer.q_norm;
  out[name("self_attn.k_norm")] = layer.k_norm;
  out[name("self_attn.q_proj")] = rows(layer.qkv.plain, 0, D);
  out[name("self_attn.k_proj")] = rows(layer.qkv.plain, D, c.kv_size());
  out[name("self_attn.v_proj")] = rows(layer.qkv.plain, D + c.kv_size(), c.kv_size());
  out[name("self_attn.o_proj")] = layer.out.plain;
  out[name("mlp.gate")] = layer.gate_ED;
  for (int64_t e = 0; e < c.num_experts; ++e) {
    out[name("mlp.experts.", e, ".gate_proj")] = rows(layer.w13_E2FD.plain[e], 0, F);
    out[name("mlp.experts.", e, ".up_proj")] = rows(layer.w13_E2FD.plain[e], F, F);
    out[name("mlp.experts.", e, ".down_proj")] = layer.w2_EDF.plain[e];
  }
  return out;
}

TensorMap published_ends(const OlmoeModel& model) {
  TensorMap out = {{"model.embed_tokens.weight", model.embedding_VD}, {"model.norm.weight", model.norm_D}};
  if (!model.config.tie_word_embeddings) out["lm_head.weight"] = model.head_VD.plain;
  return out;
}

}  // namespace polyphony::pipelines
