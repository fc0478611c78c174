// SPDX-License-Identifier: Apache-2.0
#include "moe/blocks/attention_experts.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"
#include "core/ops/combine_rows/combine_rows.h"
#include "core/ops/grouped_linear/grouped_linear.h"
#include "core/ops/linear/linear.h"
#include "core/ops/permute_rows/permute_rows.h"
#include "moe/dispatch.h"
#include "moe/experts/gated_mlp.h"

namespace polyphony::moe {
namespace {

// Some tokens of a layout as a padded batch of their own. Shapes: B samples, S the longest, L the most chosen ones.
struct Selection {
  at::Tensor place_R;     // i64, b * L + l of each chosen token
  at::Tensor index_BL;    // i64, place within the sample; 0 where there is none
  at::Tensor present_BL;  // bool
};

Selection select_tokens(const at::Tensor& token_R, const nn::AttentionLayout& layout) {
  const auto sample_place_R = layout.place_T.index_select(0, token_R).cpu().contiguous();
  const auto* place = sample_place_R.const_data_ptr<int64_t>();
  const int64_t R = token_R.size(0), S = layout.max_length, B = layout.num_samples;
  std::vector<int64_t> count(static_cast<size_t>(B), 0), order(static_cast<size_t>(R));
  for (int64_t r = 0; r < R; ++r) order[static_cast<size_t>(r)] = count[static_cast<size_t>(place[r] / S)]++;
  const int64_t L = *std::max_element(count.begin(), count.end());
  auto place_R = at::empty({R}, at::kLong), index_BL = at::zeros({B, L}, at::kLong);
  auto present_BL = at::zeros({B, L}, at::kBool);
  for (int64_t r = 0; r < R; ++r) {
    const int64_t at_L = place[r] / S * L + order[static_cast<size_t>(r)];
    place_R.mutable_data_ptr<int64_t>()[r] = at_L;
    index_BL.mutable_data_ptr<int64_t>()[at_L] = place[r] % S;
    present_BL.mutable_data_ptr<bool>()[at_L] = true;
  }
  const auto device = token_R.device();
  return {.place_R = place_R.to(device), .index_BL = index_BL.to(device), .present_BL = present_BL.to(device)};
}

// bool (B, S, S): may query (second axis) see key (last axis).
at::Tensor full_mask(const nn::AttentionLayout& layout) {
  const int64_t B = layout.num_samples, S = layout.max_length;
  if (layout.mask_B1SS.defined()) return layout.mask_B1SS.squeeze(1);
  const auto all_SS = at::ones({S, S}, layout.place_T.options().dtype(at::kBool));
  return (layout.causal ? all_SS.tril() : all_SS).expand({B, S, S});
}

// (R, P) -> (B, H, L, C)
at::Tensor to_batch(const at::Tensor& x_RP, const Selection& selection, int64_t num_heads) {
  const int64_t B = selection.index_BL.size(0), L = selection.index_BL.size(1), P = x_RP.size(1);
  const auto padded = at::zeros({B * L, P}, x_RP.options().requires_grad(false));
  return padded.index_copy(0, selection.place_R, x_RP).view({B, L, num_heads, P / num_heads}).transpose(1, 2);
}

nn::RopeTable rows_of(const nn::RopeTable& rope, const at::Tensor& token_R) {
  return {.cos_TD = rope.cos_TD.index_select(0, token_R), .sin_TD = rope.sin_TD.index_select(0, token_R)};
}

}  // namespace

AttentionExperts::AttentionExperts(const AttentionExpertsOptions& options) : options_(options) {
  auto& o = options_;
  check<ConfigError>(o.dim > 0 && o.num_experts > 0 && o.num_heads > 0,
                     "[attention_experts] dim, num_experts and num_heads must be positive, got ", o.dim, ", ",
                     o.num_experts, " and ", o.num_heads);
  if (o.head_dim == 0) {
    check<ConfigError>(o.dim % o.num_heads == 0, "[attention_experts] num_heads must divide dim ", o.dim, ", got ",
                       o.num_heads);
    o.head_dim = o.dim / o.num_heads;
  }
  check<ConfigError>(!o.rotary || o.head_dim % 2 == 0, "[attention_experts] head_dim must be even, got ", o.head_dim);
  const int64_t P = o.num_heads * o.head_dim, key_sets = o.shared_keys ? 1 : o.num_experts;
  q_EPD_ = register_parameter("q", expert_weight({o.num_experts, P, o.dim}));
  k_EPD_ = register_parameter("k", expert_weight({key_sets, P, o.dim}));
  v_EPD_ = register_parameter("v", expert_weight({key_sets, P, o.dim}));
  out_EDP_ = register_parameter("out", expert_weight({o.num_experts, o.dim, P}));
}

at::Tensor AttentionExperts::forward(const at::Tensor& x_TD, const nn::AttentionLayout& layout,
                                     const nn::RopeTable& rope, const Routing& routing) {
  const auto& o = options_;
  check<ShapeError>(x_TD.dim() == 2 && x_TD.size(0) == layout.place_T.size(0) && x_TD.size(1) == o.dim,
                    "[attention_experts] x must be (", layout.place_T.size(0), ", ", o.dim, "), got ", x_TD.sizes());
  check<ShapeError>(routing.num_experts == o.num_experts && routing.num_tokens == x_TD.size(0),
                    "[attention_experts] the routing must be of ", x_TD.size(0), " tokens and ", o.num_experts,
                    " experts, got ", routing.num_tokens, " and ", routing.num_experts);
  const auto plan = plan_dispatch(routing);
  const int64_t P = o.num_heads * o.head_dim;
  // (N, P) with its heads turned by the positions of its tokens; token_N undefined: all of them.
  const auto turned = [&](const at::Tensor& x_NP, const at::Tensor& token_N) {
    if (!o.rotary) return x_NP;
    const auto x_NHC = x_NP.view({-1, o.num_heads, o.head_dim});
    return nn::apply_rope(x_NHC, token_N.defined() ? rows_of(rope, token_N) : rope).flatten(1);
  };
  const auto x_RD = ops::permute_rows(x_TD, plan);
  const auto q_RP = turned(ops::grouped_linear(x_RD, plan, q_EPD_), plan.token_R);
  const auto offset = plan.offset_E1.cpu();
  std::vector<at::Tensor> y_RP = {q_RP.narrow(0, 0, 0)};
  for (int64_t e = 0; e < o.num_experts; ++e) {
    const int64_t first = offset[e].item<int64_t>(), rows = offset[e + 1].item<int64_t>() - first;
    if (rows == 0) continue;
    const auto token_R = plan.token_R.narrow(0, first, rows);
    const auto selection = select_tokens(token_R, layout);
    const int64_t B = selection.index_BL.size(0), L = selection.index_BL.size(1), S = layout.max_length;
    const auto index_BL1 = selection.index_BL.unsqueeze(2);
    auto mask_BLK = full_mask(layout).gather(1, index_BL1.expand({B, L, S}));
    const auto& keys_PD = k_EPD_[o.shared_keys ? 0 : e];
    const auto& values_PD = v_EPD_[o.shared_keys ? 0 : e];
    at::Tensor k_BHKC, v_BHKC;
    if (o.selected_keys) {
      const auto own_x_RD = x_RD.narrow(0, first, rows);
      k_BHKC = to_batch(turned(ops::linear(own_x_RD, keys_PD), token_R), selection, o.num_heads);
      v_BHKC = to_batch(ops::linear(own_x_RD, values_PD), selection, o.num_heads);
      const auto self_LL = at::eye(L, mask_BLK.options());
      mask_BLK =
          (mask_BLK.gather(2, selection.index_BL.unsqueeze(1).expand({B, L, L})) & selection.present_BL.unsqueeze(1)) |
          self_LL;
    } else {
      const auto to_keys = [&](const at::Tensor& x_TP) {
        return nn::pad_tokens(x_TP, layout).view({B, S, o.num_heads, o.head_dim}).transpose(1, 2);
      };
      k_BHKC = to_keys(turned(ops::linear(x_TD, keys_PD), {}));
      v_BHKC = to_keys(ops::linear(x_TD, values_PD));
    }
    const auto q_BHLC = to_batch(q_RP.narrow(0, first, rows), selection, o.num_heads);
    const auto y_BHLC = at::scaled_dot_product_attention(q_BHLC, k_BHKC, v_BHKC, mask_BLK.unsqueeze(1));
    y_RP.push_back(y_BHLC.transpose(1, 2).reshape({B * L, P}).index_select(0, selection.place_R));
  }
  const auto y_RD = ops::grouped_linear(at::cat(y_RP), plan, out_EDP_);
  return ops::combine_rows(y_RD, routing.weight_N, plan);
}

}  // namespace polyphony::moe
