// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/competition.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::moe {

at::Tensor pool_of_token(const RoutingContext& context, const std::string& scope) {
  const int64_t T = context.x_TD.size(0);
  const auto& sample_T = context.sample_T;
  if (scope != "sample" || !sample_T.defined()) return at::zeros({T}, context.modality_T.options().dtype(at::kLong));
  check<ShapeError>(sample_T.dim() == 1 && sample_T.size(0) == T && sample_T.scalar_type() == at::kLong,
                    "[router] sample must be i64 (", T, ")");
  return sample_T;
}

at::Tensor even_capacity(const RoutingContext& context, const at::Tensor& pool_T, double per_token) {
  const auto allowed_ME = context.allowed_ME.to(at::kDouble);
  const int64_t T = pool_T.size(0), M = allowed_ME.size(0);
  const int64_t pools = T > 0 ? pool_T.max().item<int64_t>() + 1 : 1;
  const auto tokens_PM =
      at::bincount(pool_T * M + context.modality_T.to(at::kLong), {}, pools * M).reshape({pools, M}).to(at::kDouble);
  const auto experts_M = allowed_ME.sum(1).clamp_min(1);
  const auto wanted_PE = at::matmul(tokens_PM * per_token / experts_M, allowed_ME);
  const auto possible_PE = at::matmul(tokens_PM, allowed_ME);
  // The small number takes rounding errors of the division off before rounding up.
  const auto rounded_PE = (wanted_PE - 1e-9).ceil().clamp_min(1);
  return at::minimum(rounded_PE, possible_PE).to(at::kLong);
}

Winners best_tokens(const at::Tensor& choice_TE, const at::Tensor& pool_T, const at::Tensor& capacity_PE) {
  const int64_t T = choice_TE.size(0);
  // Row e: tokens, best first; then, keeping that order, by pool.
  auto token_ET = top_indices(choice_TE.t(), T);
  const bool many = capacity_PE.size(0) > 1;
  auto pool_sorted_T = pool_T;
  auto place_T = at::arange(T, pool_T.options());
  if (many) {
    const auto by_pool_ET = std::get<1>(pool_T.take(token_ET).sort(/*stable=*/true, 1, /*descending=*/false));
    token_ET = token_ET.gather(1, by_pool_ET);
    pool_sorted_T = std::get<0>(pool_T.sort());
    const auto count_P = at::bincount(pool_T, {}, capacity_PE.size(0));
    place_T = place_T - (count_P.cumsum(0) - count_P).index_select(0, pool_sorted_T);
  }
  const auto capacity_ET = capacity_PE.index_select(0, pool_sorted_T).t();
  const auto possible_ET = ~choice_TE.t().gather(1, token_ET).isneginf();
  const auto won_N2 = ((place_T < capacity_ET) & possible_ET).nonzero();
  const auto expert_N = won_N2.select(1, 0).contiguous();
  return {.token_N = token_ET.index({expert_N, won_N2.select(1, 1)}), .expert_N = expert_N};
}

at::Tensor table_of_rows(const Winners& rows, int64_t num_tokens, int64_t num_experts) {
  auto table = at::zeros({num_tokens, num_experts}, rows.token_N.options().dtype(at::kBool));
  return table.index_put_({rows.token_N, rows.expert_N}, at::ones({}, table.options()));
}

}  // namespace polyphony::moe
