// SPDX-License-Identifier: Apache-2.0
// Self-attention over packed samples, with grouped key and value heads and a cache for decoding token by token.
// Shapes: T packed tokens, D width, H query heads, G key and value heads, C head width, B samples.
#pragma once

#include <memory>

#include "core/nn/attention_layout.h"
#include "core/nn/kv_cache.h"
#include "core/nn/layer_norm.h"
#include "core/nn/linear.h"
#include "core/nn/rms_norm.h"
#include "core/nn/rope.h"

namespace polyphony::nn {

enum class QkNorm : uint8_t { rms, layer };

struct AttentionOptions {
  int64_t dim = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;  // divides num_heads; 0 means num_heads
  int64_t head_dim = 0;      // 0 means dim / num_heads; even if rotary
  bool rotary = true;        // queries and keys are turned; false: positions are in x already, ropes are not read
  bool qk_norm = false;      // a norm of each query and key head before the rotation, eps 1e-6,
  QkNorm qk_norm_kind = QkNorm::rms;  // RMS, or layer norm with weight and bias
  bool bias = false;                  // of qkv and out
};

// Modules: qkv.weight ((H + 2G) C, D) with query, key, value rows in this order, out.weight (D, H C), q_norm, k_norm
// (C). Sources: Attention Is All You Need (arXiv:1706.03762), GQA (arXiv:2305.13245).
class Attention : public torch::nn::Module {
 public:
  explicit Attention(const AttentionOptions& options);

  // x_TD -> (T, D) in the dtype of `out`'s result. `rope` is made from all T positions.
  // A cache that is given is filled with the keys and values of all samples (prefill).
  at::Tensor forward(const at::Tensor& x_TD, const AttentionLayout& layout, const RopeTable& rope,
                     KvCache* cache = nullptr);

  // One new token a sample, x_BD in the cache's order of samples: it sees its sample's cache and itself, and is
  // appended.
  at::Tensor forward_step(const at::Tensor& x_BD, const RopeTable& rope, KvCache& cache);

  // f32 (T): the attention that each token receives, summed over the queries that may see it, averaged over the heads.
  // Computed anew and without gradient: it costs a second attention.
  at::Tensor received_attention(const at::Tensor& x_TD, const AttentionLayout& layout, const RopeTable& rope);

 private:
  struct Heads {
    at::Tensor q_THC;
    at::Tensor k_TGC;
    at::Tensor v_TGC;
  };
  Heads project(const at::Tensor& x_TD, const RopeTable& rope);

  AttentionOptions options_;
  Linear qkv_{nullptr};
  Linear out_{nullptr};
  std::shared_ptr<RmsNorm> q_norm_, k_norm_;                // of kind rms
  std::shared_ptr<LayerNorm> q_layer_norm_, k_layer_norm_;  // of kind layer, under the same names
};

}  // namespace polyphony::nn
