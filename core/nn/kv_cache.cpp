// SPDX-License-Identifier: Apache-2.0
#include "core/nn/kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"

namespace polyphony::nn {
namespace {

constexpr int64_t kFirstCapacity = 32;

// A copy of x_BGSC with room for `capacity` tokens.
at::Tensor with_capacity(const at::Tensor& x_BGSC, int64_t capacity) {
  at::Tensor roomy = at::zeros({x_BGSC.size(0), x_BGSC.size(1), capacity, x_BGSC.size(3)}, x_BGSC.options());
  roomy.narrow(2, 0, x_BGSC.size(2)).copy_(x_BGSC);
  return roomy;
}

}  // namespace

int64_t KvCache::max_length() const { return lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end()); }

void fill_cache(KvCache& cache, const at::Tensor& k_BGSC, const at::Tensor& v_BGSC,
                const std::vector<int64_t>& lengths) {
  const int64_t capacity = std::max(kFirstCapacity, 2 * k_BGSC.size(2));
  cache.k_BGSC = with_capacity(k_BGSC.detach(), capacity);
  cache.v_BGSC = with_capacity(v_BGSC.detach(), capacity);
  cache.lengths = lengths;
}

void append_to_cache(KvCache& cache, const at::Tensor& k_BGC, const at::Tensor& v_BGC) {
  check<ShapeError>(cache.k_BGSC.defined() && k_BGC.dim() == 3 && k_BGC.size(0) == cache.num_samples(),
                    "[kv_cache] expected keys of ", cache.num_samples(), " samples, got ", k_BGC.sizes());
  if (cache.max_length() == cache.k_BGSC.size(2)) {
    cache.k_BGSC = with_capacity(cache.k_BGSC, 2 * cache.k_BGSC.size(2));
    cache.v_BGSC = with_capacity(cache.v_BGSC, 2 * cache.v_BGSC.size(2));
  }
  const at::Tensor place_B =
      at::tensor(cache.lengths, at::kLong).to(k_BGC.device()).view({-1, 1, 1, 1}).expand_as(k_BGC.unsqueeze(2));
  cache.k_BGSC.scatter_(2, place_B, k_BGC.detach().unsqueeze(2).to(cache.k_BGSC.scalar_type()));
  cache.v_BGSC.scatter_(2, place_B, v_BGC.detach().unsqueeze(2).to(cache.v_BGSC.scalar_type()));
  for (int64_t& length : cache.lengths) ++length;
}

void extend_cache(KvCache& cache, const at::Tensor& k_GSC, const at::Tensor& v_GSC) {
  if (!cache.k_BGSC.defined()) {
    fill_cache(cache, k_GSC.unsqueeze(0), v_GSC.unsqueeze(0), {k_GSC.size(1)});
    return;
  }
  const int64_t G = cache.k_BGSC.size(1), C = cache.k_BGSC.size(3), added = k_GSC.size(1);
  check<ShapeError>(cache.num_samples() == 1 && k_GSC.dim() == 3 && k_GSC.size(0) == G && k_GSC.size(2) == C,
                    "[kv_cache] expected keys (", G, ", S, ", C, ") for one sample, got ", k_GSC.sizes(), " for ",
                    cache.num_samples());
  int64_t& length = cache.lengths.front();
  if (length + added > cache.k_BGSC.size(2)) {
    const int64_t capacity = std::max(length + added, 2 * cache.k_BGSC.size(2));
    cache.k_BGSC = with_capacity(cache.k_BGSC, capacity);
    cache.v_BGSC = with_capacity(cache.v_BGSC, capacity);
  }
  cache.k_BGSC[0].narrow(1, length, added).copy_(k_GSC.detach());
  cache.v_BGSC[0].narrow(1, length, added).copy_(v_GSC.detach());
  length += added;
}

KvCache select_samples(const KvCache& cache, const std::vector<int64_t>& samples) {
  const at::Tensor index = at::tensor(samples, at::kLong).to(cache.k_BGSC.device());
  KvCache selected{
      .k_BGSC = cache.k_BGSC.index_select(0, index), .v_BGSC = cache.v_BGSC.index_select(0, index), .lengths = {}};
  for (const int64_t sample : samples) selected.lengths.push_back(cache.lengths.at(static_cast<size_t>(sample)));
  return selected;
}

}  // namespace polyphony::nn
