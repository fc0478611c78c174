// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/published.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::pipelines {
namespace {

struct Rows {
  int64_t matrix = 0;  // of a bank
  int64_t first = 0, count = 0;
};

// Rows of one matrix: its weights, or its numbers and their scales.
void add(TensorMap& out, const std::string& name, const nn::Weights& weights, const Rows& rows) {
  const auto part = [&](const at::Tensor& x) {
    return (x.dim() == 3 ? x[rows.matrix] : x).narrow(0, rows.first, rows.count);
  };
  const auto* plain = std::get_if<at::Tensor>(&weights);
  const auto* quantized = std::get_if<ops::QuantizedMatrices>(&weights);
  if (plain && !plain->defined()) return;
  check<ShapeError>(plain || quantized, "[olmoe] packed weights have no published form");
  out[name + ".weight"] = part(plain ? *plain : quantized->values);
  if (quantized) out[name + ".weight_scale"] = part(quantized->scales_ENG);
}

nn::Weights empty_weights(const OlmoeConfig& c, at::IntArrayRef shape_ENK, const at::TensorOptions& options) {
  const bool map = shape_ENK[0] == 0;  // no bank: plain weights have two axes then
  const int64_t E = map ? 1 : shape_ENK[0], N = shape_ENK[1], K = shape_ENK[2];
  if (!c.quantization) return map ? at::empty({N, K}, options) : at::empty({E, N, K}, options);
  const auto& q = *c.quantization;
  const bool int4 = q.format == ops::WeightFormat::int4;
  return ops::QuantizedMatrices{
      .format = q.format,
      .group = q.group,
      .depth = K,
      .values = at::empty({E, N, int4 ? (K + 1) / 2 : K}, options.dtype(int4 ? at::kByte : at::kChar)),
      .scales_ENG = at::empty({E, N, (K + q.group - 1) / q.group}, options.dtype(at::kBFloat16))};
}

}  // namespace

OlmoeLayer empty_olmoe_layer(const OlmoeConfig& c, at::ScalarType dtype, at::Device device) {
  const int64_t D = c.hidden_size, F = c.intermediate_size, E = c.num_experts;
  const auto f32 = at::TensorOptions(device).dtype(at::kFloat);
  const auto weights = [&](at::IntArrayRef shape_ENK) { return empty_weights(c, shape_ENK, f32.dtype(dtype)); };
  return {.attention_norm_D = at::empty({D}, f32),
          .experts_norm_D = at::empty({D}, f32),
          .qkv = weights({0, D + 2 * c.kv_size(), D}),
          .q_norm = at::empty({D}, f32),
          .k_norm = at::empty({c.kv_size()}, f32),
          .out = weights({0, D, D}),
          .gate_ED = at::empty({E, D}, f32),
          .w13_E2FD = weights({E, 2 * F, D}),
          .w2_EDF = weights({E, D, F})};
}

OlmoeModel empty_olmoe_ends(const OlmoeConfig& c, at::ScalarType dtype, at::Device device) {
  const auto options = at::TensorOptions(device).dtype(dtype);
  const int64_t V = c.vocab_size, D = c.hidden_size;
  OlmoeModel model{.config = c,
                   .embedding_VD = at::empty({V, D}, options),
                   .layers = {},
                   .norm_D = at::empty({D}, options.dtype(at::kFloat)),
                   .head_VD = {}};
  model.head_VD = c.tie_word_embeddings ? nn::Weights(model.embedding_VD) : empty_weights(c, {0, V, D}, options);
  return model;
}

TensorMap published_layer(const OlmoeConfig& c, const OlmoeLayer& layer, int64_t index) {
  const int64_t D = c.hidden_size, F = c.intermediate_size;
  TensorMap out;
  const auto name = [&](const auto&... parts) { return join("model.layers.", index, ".", parts...); };
  out[name("input_layernorm.weight")] = layer.attention_norm_D;
  out[name("post_attention_layernorm.weight")] = layer.experts_norm_D;
  out[name("self_attn.q_norm.weight")] = layer.q_norm;
  out[name("self_attn.k_norm.weight")] = layer.k_norm;
  out[name("mlp.gate.weight")] = layer.gate_ED;
  add(out, name("self_attn.q_proj"), layer.qkv, {.first = 0, .count = D});
  add(out, name("self_attn.k_proj"), layer.qkv, {.first = D, .count = c.kv_size()});
  add(out, name("self_attn.v_proj"), layer.qkv, {.first = D + c.kv_size(), .count = c.kv_size()});
  add(out, name("self_attn.o_proj"), layer.out, {.first = 0, .count = D});
  for (int64_t e = 0; e < c.num_experts; ++e) {
    add(out, name("mlp.experts.", e, ".gate_proj"), layer.w13_E2FD, {.matrix = e, .first = 0, .count = F});
    add(out, name("mlp.experts.", e, ".up_proj"), layer.w13_E2FD, {.matrix = e, .first = F, .count = F});
    add(out, name("mlp.experts.", e, ".down_proj"), layer.w2_EDF, {.matrix = e, .first = 0, .count = D});
  }
  return out;
}

TensorMap published_ends(const OlmoeModel& model) {
  TensorMap out = {{"model.embed_tokens.weight", model.embedding_VD}, {"model.norm.weight", model.norm_D}};
  if (!model.config.tie_word_embeddings)
    add(out, "lm_head", model.head_VD, {.first = 0, .count = model.config.vocab_size});
  return out;
}

int64_t published_count(const OlmoeConfig& c) {
  const int64_t matrices = 4 + 3 * c.num_experts, head = c.tie_word_embeddings ? 0 : 1;
  const int64_t each = c.quantization ? 2 : 1;
  return c.num_hidden_layers * (5 + each * matrices) + 2 + each * head;
}

}  // namespace polyphony::pipelines
