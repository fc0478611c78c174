// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/model.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/nn/cached_attention.h"
#include "core/ops/rms_norm/rms_norm.h"
#include "core/ops/topk_softmax/topk_softmax.h"
#include "moe/routers/selection.h"
#include "moe/routers/weights.h"

namespace polyphony::pipelines {
namespace {

at::Tensor attention(const OlmoeConfig& c, const OlmoeLayer& layer, at::ScalarType dtype, const at::Tensor& x_TD,
                     const nn::RopeTable& rope, nn::KvCache& cache) {
  const int64_t T = x_TD.size(0), C = c.head_dim();
  auto qkv = nn::product(x_TD, layer.qkv).split_with_sizes({c.hidden_size, c.kv_size(), c.kv_size()}, 1);
  qkv[0] = ops::rms_norm(qkv[0], layer.q_norm, c.rms_norm_eps);
  qkv[1] = ops::rms_norm(qkv[1], layer.k_norm, c.rms_norm_eps);
  if (c.clip_qkv)
    for (auto& part : qkv) part = part.clamp(-*c.clip_qkv, *c.clip_qkv);
  const auto heads = [&](const at::Tensor& x) { return x.reshape({T, x.size(1) / C, C}); };
  const auto q_THC = nn::apply_rope(heads(qkv[0]), rope), k_TGC = nn::apply_rope(heads(qkv[1]), rope);
  const auto y_THC = nn::attend_with_cache(q_THC.to(dtype), k_TGC.to(dtype), heads(qkv[2]).to(dtype), cache);
  return nn::product(y_THC.reshape({T, c.hidden_size}).to(x_TD.scalar_type()), layer.out);
}

at::Tensor experts(const OlmoeConfig& c, const OlmoeLayer& layer, const at::Tensor& x_TD) {
  const int64_t T = x_TD.size(0), K = c.num_experts_per_tok;
  const auto top = ops::topk_softmax(moe::gate_logits(x_TD, layer.gate_ED), K);
  const auto weight_TK = moe::normalise_weights(top.weight_TK, c.norm_topk_prob ? "sum" : "none");
  const auto token_N = at::arange(T, at::kLong).repeat_interleave(K);
  const auto plan = ops::make_dispatch_plan(token_N, top.expert_TK.flatten(), T, c.num_experts);
  return nn::experts_product(x_TD, plan, weight_TK.flatten(), layer.w13_E2FD, layer.w2_EDF);
}

void check_ids(const OlmoeConfig& c, const at::Tensor& ids_T, int64_t before) {
  check<ShapeError>(ids_T.dim() == 1 && ids_T.scalar_type() == at::kLong, "[olmoe] ids must be i64 (T), got ",
                    ids_T.scalar_type(), " ", ids_T.sizes());
  check<UsageError>(before + ids_T.size(0) <= c.max_position_embeddings, "[olmoe] the model reads at most ",
                    c.max_position_embeddings, " tokens, got ", before + ids_T.size(0));
  if (ids_T.size(0) == 0) return;
  const auto low = ids_T.min().item<int64_t>(), high = ids_T.max().item<int64_t>();
  check<DataError>(low >= 0 && high < c.vocab_size, "[olmoe] token ids must be in [0, ", c.vocab_size, "), got ",
                   low < 0 ? low : high);
}

}  // namespace

nn::RopeTable olmoe_rope(const OlmoeConfig& c, int64_t first, int64_t T) {
  const auto position_T1 = at::arange(first, first + T, at::kFloat).unsqueeze(1);
  return nn::make_rope_table(position_T1, {.axis_dims = {c.head_dim()}, .theta = c.rope_theta});
}

at::Tensor forward_layer(const OlmoeConfig& c, const OlmoeLayer& layer, at::ScalarType attention_dtype,
                         const at::Tensor& x_TD, const nn::RopeTable& rope, nn::KvCache& cache) {
  const auto norm = [&](const at::Tensor& x, const at::Tensor& weight) {
    return ops::rms_norm(x, weight, c.rms_norm_eps);
  };
  const auto y_TD = x_TD + attention(c, layer, attention_dtype, norm(x_TD, layer.attention_norm_D), rope, cache);
  return y_TD + experts(c, layer, norm(y_TD, layer.experts_norm_D));
}

at::Tensor forward(const OlmoeModel& model, const at::Tensor& ids_T, OlmoeCache& cache, OlmoeLogits logits) {
  const auto& c = model.config;
  const int64_t before = cache.length(), T = ids_T.size(0);
  check_ids(c, ids_T, before);
  cache.layers.resize(model.layers.size());
  const auto rope = olmoe_rope(c, before, T);
  auto x_TD = at::embedding(model.embedding_VD, ids_T).to(at::kFloat);
  for (size_t i = 0; i < model.layers.size(); ++i)
    x_TD = forward_layer(c, model.layers[i], model.dtype, x_TD, rope, cache.layers[i]);
  if (logits == OlmoeLogits::last && T > 0) x_TD = x_TD.narrow(0, T - 1, 1);
  return nn::product(ops::rms_norm(x_TD, model.norm_D, c.rms_norm_eps), model.head_VD);
}

at::Tensor forward(const OlmoeModel& model, const at::Tensor& ids_T) {
  OlmoeCache cache;
  return forward(model, ids_T, cache);
}

}  // namespace polyphony::pipelines
