// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/contrastive.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::moe {
namespace {

at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12); }

// Mean over rows of the cross entropy of the cosines with the diagonal.
at::Tensor diagonal_loss(const at::Tensor& a_BD, const at::Tensor& b_BD, double temperature) {
  check<ShapeError>(temperature > 0, "[losses] the temperature must be above 0, got ", temperature);
  const auto similar_BB = at::mm(unit(a_BD), unit(b_BD).t()) / temperature;
  return -similar_BB.log_softmax(1).diagonal().mean();
}

}  // namespace

at::Tensor gate_contrastive_loss(const at::Tensor& gate_BE, const at::Tensor& other_BE, double temperature) {
  check<ShapeError>(gate_BE.dim() == 2 && gate_BE.sizes() == other_BE.sizes(),
                    "[losses] the gates to be compared must both be (B, E), got ", gate_BE.sizes(), " and ",
                    other_BE.sizes());
  if (gate_BE.size(0) == 0) return gate_BE.sum();
  return diagonal_loss(gate_BE, other_BE, temperature);
}

at::Tensor prototype_contrastive_loss(const at::Tensor& prototype_ED, const at::Tensor& x_TD,
                                      const at::Tensor& expert_T, double temperature) {
  const int64_t E = prototype_ED.size(0);
  check<ShapeError>(prototype_ED.dim() == 2 && x_TD.dim() == 2 && prototype_ED.size(1) == x_TD.size(1),
                    "[losses] prototypes and tokens must share a width, got ", prototype_ED.sizes(), " and ",
                    x_TD.sizes());
  check<ShapeError>(expert_T.dim() == 1 && expert_T.size(0) == x_TD.size(0) && expert_T.scalar_type() == at::kLong,
                    "[losses] expert must be i64 (", x_TD.size(0), ")");
  const auto token_N = (expert_T >= 0).nonzero().flatten();
  const auto expert_N = expert_T.index_select(0, token_N);
  const auto count_E = at::bincount(expert_N, {}, E);
  const auto sum_ED = at::zeros_like(prototype_ED).index_add(0, expert_N, x_TD.index_select(0, token_N));
  const auto used_U = count_E.nonzero().flatten();
  if (used_U.size(0) < 2) return prototype_ED.sum() * 0;
  const auto mean_UD = sum_ED.index_select(0, used_U) / count_E.index_select(0, used_U).unsqueeze(1);
  return diagonal_loss(prototype_ED.index_select(0, used_U), mean_UD, temperature);
}

}  // namespace polyphony::moe
