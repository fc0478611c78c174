// SPDX-License-Identifier: Apache-2.0
#include "core/nn/attention.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cmath>
#include <limits>
#include <optional>

#include "core/check.h"

namespace polyphony::nn {
namespace {

// (T, N, C) -> (B, N, S, C)
at::Tensor to_batch(const at::Tensor& x_TNC, const AttentionLayout& layout) {
  const int64_t N = x_TNC.size(1);
  const int64_t C = x_TNC.size(2);
  return pad_tokens(x_TNC.reshape({-1, N * C}), layout)
      .view({layout.num_samples, layout.max_length, N, C})
      .transpose(1, 2);
}

// Each key or value head is read by num_heads / G query heads that follow one another.
at::Tensor repeat_heads(const at::Tensor& x_BGSC, int64_t num_heads) {
  const int64_t repeats = num_heads / x_BGSC.size(1);
  if (repeats == 1) return x_BGSC;
  return x_BGSC.unsqueeze(2)
      .expand({-1, -1, repeats, -1, -1})
      .reshape({x_BGSC.size(0), num_heads, x_BGSC.size(2), x_BGSC.size(3)});
}

// Autocast to bf16 stops here on a CPU: the backward of attention in bf16 calls a matrix product for each head and
// sample, which costs more than the whole of it in f32.
at::Tensor attend(const at::Tensor& q_BHSC, const at::Tensor& k_BHSC, const at::Tensor& v_BHSC,
                  const AttentionLayout& layout) {
  const bool widen = q_BHSC.is_cpu() && at::autocast::is_autocast_enabled(at::kCPU);
  std::optional<c10::impl::ExcludeDispatchKeyGuard> no_autocast;
  if (widen) no_autocast.emplace(c10::autocast_dispatch_keyset);
  const auto wide = [&](const at::Tensor& x) { return widen ? x.to(at::kFloat) : x; };
  return at::scaled_dot_product_attention(
      wide(q_BHSC), wide(k_BHSC), wide(v_BHSC),
      layout.mask_B1SS.defined() ? std::optional<at::Tensor>(layout.mask_B1SS) : std::nullopt, /*dropout_p=*/0.0,
      layout.causal);
}

}  // namespace

Attention::Attention(const AttentionOptions& options) : options_(options) {
  AttentionOptions& o = options_;
  check<ConfigError>(o.dim > 0 && o.num_heads > 0, "[attention] dim and num_heads must be positive, got ", o.dim,
                     " and ", o.num_heads);
  if (o.num_kv_heads == 0) o.num_kv_heads = o.num_heads;
  if (o.head_dim == 0) {
    check<ConfigError>(o.dim % o.num_heads == 0, "[attention] num_heads must divide dim ", o.dim, ", got ",
                       o.num_heads);
    o.head_dim = o.dim / o.num_heads;
  }
  check<ConfigError>(o.num_kv_heads > 0 && o.num_heads % o.num_kv_heads == 0,
                     "[attention] num_kv_heads must divide num_heads ", o.num_heads, ", got ", o.num_kv_heads);
  check<ConfigError>(!o.rotary || o.head_dim % 2 == 0, "[attention] head_dim must be even, got ", o.head_dim);
  const auto linear = [&](int64_t in, int64_t out) { return Linear(torch::nn::LinearOptions(in, out).bias(o.bias)); };
  qkv_ = register_module("qkv", linear(o.dim, (o.num_heads + 2 * o.num_kv_heads) * o.head_dim));
  out_ = register_module("out", linear(o.num_heads * o.head_dim, o.dim));
  if (!o.qk_norm) return;
  if (o.qk_norm_kind == QkNorm::layer) {
    q_layer_norm_ = register_module("q_norm", std::make_shared<LayerNorm>(LayerNormOptions{.dim = o.head_dim}));
    k_layer_norm_ = register_module("k_norm", std::make_shared<LayerNorm>(LayerNormOptions{.dim = o.head_dim}));
    return;
  }
  q_norm_ = register_module("q_norm", std::make_shared<RmsNorm>(RmsNormOptions{.dim = o.head_dim}));
  k_norm_ = register_module("k_norm", std::make_shared<RmsNorm>(RmsNormOptions{.dim = o.head_dim}));
}

Attention::Heads Attention::project(const at::Tensor& x_TD, const RopeTable& rope) {
  const int64_t H = options_.num_heads;
  const int64_t G = options_.num_kv_heads;
  const auto parts = qkv_(x_TD).view({x_TD.size(0), H + 2 * G, options_.head_dim}).split_with_sizes({H, G, G}, 1);
  Heads heads{.q_THC = parts[0], .k_TGC = parts[1], .v_TGC = parts[2]};
  if (q_norm_) {
    heads.q_THC = q_norm_->forward(heads.q_THC);
    heads.k_TGC = k_norm_->forward(heads.k_TGC);
  }
  if (q_layer_norm_) {
    heads.q_THC = q_layer_norm_->forward(heads.q_THC);
    heads.k_TGC = k_layer_norm_->forward(heads.k_TGC);
  }
  if (!options_.rotary) return heads;
  heads.q_THC = apply_rope(heads.q_THC, rope);
  heads.k_TGC = apply_rope(heads.k_TGC, rope);
  return heads;
}

at::Tensor Attention::forward(const at::Tensor& x_TD, const AttentionLayout& layout, const RopeTable& rope,
                              KvCache* cache) {
  check<ShapeError>(x_TD.dim() == 2 && x_TD.size(0) == layout.place_T.size(0) && x_TD.size(1) == options_.dim,
                    "[attention] x must be (", layout.place_T.size(0), ", ", options_.dim, "), got ", x_TD.sizes());
  const Heads heads = project(x_TD, rope);
  if (x_TD.size(0) == 0) return out_(heads.q_THC.reshape({0, options_.num_heads * options_.head_dim}));
  const at::Tensor k_BGSC = to_batch(heads.k_TGC, layout);
  const at::Tensor v_BGSC = to_batch(heads.v_TGC, layout);
  if (cache) fill_cache(*cache, k_BGSC, v_BGSC, layout.lengths);
  const at::Tensor y_BHSC = attend(to_batch(heads.q_THC, layout), repeat_heads(k_BGSC, options_.num_heads),
                                   repeat_heads(v_BGSC, options_.num_heads), layout);
  return out_(unpad_tokens(y_BHSC.transpose(1, 2).flatten(2), layout));
}

at::Tensor Attention::forward_step(const at::Tensor& x_BD, const RopeTable& rope, KvCache& cache) {
  check<ShapeError>(x_BD.dim() == 2 && x_BD.size(0) == cache.num_samples() && x_BD.size(1) == options_.dim,
                    "[attention] x must be (", cache.num_samples(), ", ", options_.dim, "), got ", x_BD.sizes());
  const Heads heads = project(x_BD, rope);
  append_to_cache(cache, heads.k_TGC, heads.v_TGC);
  const int64_t S = cache.max_length();
  const auto index_options = at::TensorOptions().dtype(at::kLong).device(x_BD.device());
  const at::Tensor length_B = at::tensor(cache.lengths, at::kLong).to(x_BD.device());
  const at::Tensor seen_B11S =
      (at::arange(S, index_options).unsqueeze(0) < length_B.unsqueeze(1)).unsqueeze(1).unsqueeze(1);
  const auto dtype = heads.q_THC.scalar_type();
  const at::Tensor y_BH1C = at::scaled_dot_product_attention(
      heads.q_THC.unsqueeze(2), repeat_heads(cache.k_BGSC.narrow(2, 0, S), options_.num_heads).to(dtype),
      repeat_heads(cache.v_BGSC.narrow(2, 0, S), options_.num_heads).to(dtype), seen_B11S);
  return out_(y_BH1C.reshape({x_BD.size(0), -1}));
}

at::Tensor Attention::received_attention(const at::Tensor& x_TD, const AttentionLayout& layout, const RopeTable& rope) {
  const at::NoGradGuard no_grad;
  if (x_TD.size(0) == 0) return at::zeros({0}, x_TD.options().dtype(at::kFloat));
  const Heads heads = project(x_TD, rope);
  const at::Tensor q_BHSC = to_batch(heads.q_THC.to(at::kFloat), layout);
  const at::Tensor k_BHSC = repeat_heads(to_batch(heads.k_TGC.to(at::kFloat), layout), options_.num_heads);
  at::Tensor score_BHSS =
      at::matmul(q_BHSC, k_BHSC.transpose(2, 3)) / std::sqrt(static_cast<double>(options_.head_dim));
  const int64_t S = layout.max_length;
  const auto mask_options = x_TD.options().dtype(at::kBool);
  const double infinity = std::numeric_limits<double>::infinity();
  if (layout.mask_B1SS.defined()) score_BHSS = score_BHSS.masked_fill(~layout.mask_B1SS, -infinity);
  if (layout.causal) score_BHSS = score_BHSS.masked_fill(~at::ones({S, S}, mask_options).tril(), -infinity);
  // What padded queries attend to is themselves alone, and no token reads a padded place.
  const at::Tensor received_BS = score_BHSS.softmax(-1).mean(1).sum(1);
  return unpad_tokens(received_BS.unsqueeze(2), layout).squeeze(1);
}

}  // namespace polyphony::nn
