// SPDX-License-Identifier: Apache-2.0
// A language model of the OLMoE family: the ids of a text in, logits of each next token out.
// Shapes: T new tokens of one text, D width, H query heads, G key and value heads, C head width, E experts, F expert
// hidden, V vocabulary.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "core/nn/kv_cache.h"
#include "core/nn/rope.h"
#include "core/nn/weights.h"
#include "pipelines/olmoe/config.h"

namespace polyphony::pipelines {

struct OlmoeLayer {
  at::Tensor attention_norm_D, experts_norm_D;
  nn::Weights qkv;            // ((H + 2G) C, D): query, key, value rows in this order
  at::Tensor q_norm, k_norm;  // (H C), (G C): over all heads of a token at once, before the rotation
  nn::Weights out;            // (D, H C)
  at::Tensor gate_ED;         // f32: its rounding would change which experts are chosen
  nn::Weights w13_E2FD, w2_EDF;
};

struct OlmoeModel {
  OlmoeConfig config = {};
  at::ScalarType dtype = at::kFloat;  // of attention and its cache; norms, routing and sums are f32
  at::Tensor embedding_VD;
  std::vector<OlmoeLayer> layers;
  at::Tensor norm_D;
  nn::Weights head_VD;
};

// What the layers remember of one text. A default one is an empty text's.
struct OlmoeCache {
  std::vector<nn::KvCache> layers;
  int64_t length() const { return layers.empty() ? 0 : layers.front().max_length(); }
};

enum class OlmoeLogits : uint8_t { all, last };

// ids_T i64, the text's next tokens -> f32 (T, V), or (1, V) for `last`. The cache grows by T; without one the ids are
// a whole text. Throws ShapeError for ids, DataError for an id outside [0, V), UsageError for a text longer than
// max_position_embeddings.
// Source: OLMoE (arXiv:2409.02060), section 2 and appendix B; order of norm, clipping and rotation as in transformers.
at::Tensor forward(const OlmoeModel& model, const at::Tensor& ids_T, OlmoeCache& cache,
                   OlmoeLogits logits = OlmoeLogits::all);
at::Tensor forward(const OlmoeModel& model, const at::Tensor& ids_T);

// The steps of it. Rotations of positions [first, first + T); one layer, x_TD f32 -> (T, D) f32.
nn::RopeTable olmoe_rope(const OlmoeConfig& config, int64_t first, int64_t T);
at::Tensor forward_layer(const OlmoeConfig& config, const OlmoeLayer& layer, at::ScalarType attention_dtype,
                         const at::Tensor& x_TD, const nn::RopeTable& rope, nn::KvCache& cache);

}  // namespace polyphony::pipelines
