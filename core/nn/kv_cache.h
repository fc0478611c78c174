// SPDX-License-Identifier: Apache-2.0
// Keys and values of the tokens that a layer has seen, for samples of different lengths.
// Shapes: B samples, G key and value heads, S capacity in tokens, C head width.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace polyphony::nn {

// Of one layer. An empty one is a valid start for Attention::forward.
struct KvCache {
  at::Tensor k_BGSC;
  at::Tensor v_BGSC;
  std::vector<int64_t> lengths;  // B: tokens of each sample; what lies behind is not read

  int64_t num_samples() const { return static_cast<int64_t>(lengths.size()); }
  int64_t max_length() const;
};

// Starts the cache from padded keys and values (B, G, S, C) whose samples have these lengths.
void fill_cache(KvCache& cache, const at::Tensor& k_BGSC, const at::Tensor& v_BGSC,
                const std::vector<int64_t>& lengths);

// Appends one token a sample, k and v (B, G, C). The capacity doubles where it is used up. Throws ShapeError.
void append_to_cache(KvCache& cache, const at::Tensor& k_BGC, const at::Tensor& v_BGC);

// Appends S tokens to the one sample of a cache, k and v (G, S, C); an empty cache is started. Throws ShapeError.
void extend_cache(KvCache& cache, const at::Tensor& k_GSC, const at::Tensor& v_GSC);

// The cache of the samples named, in that order; one may be named twice (beam search).
KvCache select_samples(const KvCache& cache, const std::vector<int64_t>& samples);

}  // namespace polyphony::nn
