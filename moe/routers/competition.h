// SPDX-License-Identifier: Apache-2.0
// Tokens that compete for the places of an expert, in the whole batch or within their sample.
#pragma once
#include "moe/routers/selection.h"

namespace polyphony::moe {

// i64 (T): the pool in which each token competes: its sample with scope "sample", else 0.
at::Tensor pool_of_token(const RoutingContext& context, const std::string& scope);

// i64 (pools, E): places of each expert. The b_M tokens of a modality spread `per_token` experts each evenly over the
// modality's e_M experts, so an expert gets the sum of per_token b_M / e_M over its modalities, rounded up, at least 1
// and at most all its tokens. For disjoint groups that is MoMa's clamp(ceil(c b_M), 1, b_M) with c = per_token / e_M.
at::Tensor even_capacity(const RoutingContext& context, const at::Tensor& pool_T, double per_token);

struct Winners {
  at::Tensor token_N, expert_N;  // i64, by expert
};

// Each expert's best tokens of each pool, as many as its capacity; those at -inf never win. Ties go to the lower token.
Winners best_tokens(const at::Tensor& choice_TE, const at::Tensor& pool_T, const at::Tensor& capacity_PE);

// bool (T, E): the rows as a table.
at::Tensor table_of_rows(const Winners& rows, int64_t num_tokens, int64_t num_experts);

}  // namespace polyphony::moe
