// SPDX-License-Identifier: Apache-2.0
// Causal attention of new tokens to themselves and to what a cache holds of their sample.
// Shapes: T new tokens, H query heads, G key and value heads (G divides H), C head width.
#pragma once
#include "core/nn/kv_cache.h"

namespace polyphony::nn {

// q_THC, k_TGC and v_TGC of one sample, of one dtype; the keys and values are appended to the cache. Query t sees the
// cache as it was and the new tokens up to t. Scores are scaled by 1 / sqrt(C). Returns (T, H, C) in q's dtype.
// Throws ShapeError. Sources: Attention Is All You Need (arXiv:1706.03762), GQA (arXiv:2305.13245).
at::Tensor attend_with_cache(const at::Tensor& q_THC, const at::Tensor& k_TGC, const at::Tensor& v_TGC, KvCache& cache);

}  // namespace polyphony::nn
