// SPDX-License-Identifier: Apache-2.0
#include "core/nn/cached_attention.h"

#include <ATen/ATen.h>

#include <optional>

#include "core/check.h"

namespace polyphony::nn {
namespace {

// bool (T, S): new token t sees all of the S - T older ones, and the new ones up to itself.
at::Tensor seen_keys(int64_t T, int64_t S) { return at::ones({T, S}, at::kBool).tril(S - T); }

}  // namespace

at::Tensor attend_with_cache(const at::Tensor& q_THC, const at::Tensor& k_TGC, const at::Tensor& v_TGC,
                             KvCache& cache) {
  const int64_t T = q_THC.size(0), H = q_THC.size(1), C = q_THC.size(2), G = k_TGC.size(1);
  check<ShapeError>(k_TGC.sizes() == at::IntArrayRef({T, G, C}) && v_TGC.sizes() == k_TGC.sizes() && H % G == 0,
                    "[cached_attention] keys and values must be (", T, ", G, ", C, ") with G a divisor of ", H,
                    ", got ", k_TGC.sizes(), " and ", v_TGC.sizes());
  extend_cache(cache, k_TGC.transpose(0, 1), v_TGC.transpose(0, 1));
  if (T == 0) return q_THC;
  const int64_t S = cache.lengths.front();
  const auto k_1GSC = cache.k_BGSC.narrow(2, 0, S), v_1GSC = cache.v_BGSC.narrow(2, 0, S);
  // The query heads of one key head lie beside one another: a single token's are its queries.
  if (T == 1) return at::scaled_dot_product_attention(q_THC.reshape({1, G, H / G, C}), k_1GSC, v_1GSC).view({1, H, C});
  const auto per_head = [&](const at::Tensor& x_1GSC) {
    return H == G ? x_1GSC : x_1GSC.unsqueeze(2).expand({1, G, H / G, S, C}).reshape({1, H, S, C});
  };
  const auto mask = T == S ? std::nullopt : std::optional<at::Tensor>(seen_keys(T, S));
  const auto y_1HTC = at::scaled_dot_product_attention(q_THC.transpose(0, 1).unsqueeze(0), per_head(k_1GSC),
                                                       per_head(v_1GSC), mask, /*dropout_p=*/0.0, /*is_causal=*/T == S);
  return y_1HTC.squeeze(0).transpose(0, 1);
}

}  // namespace polyphony::nn
