// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/expert_load.h"

#include <ATen/ATen.h>

#include <limits>

#include "core/check.h"

namespace polyphony::moe {

std::vector<BalancePart> parts_of(const Routing& routing, const BalanceScope& scope) {
  if (scope.groups.empty()) return {{.num_experts = routing.num_experts}};
  check<ShapeError>(
      scope.modality_T.defined() && scope.modality_T.dim() == 1 && scope.modality_T.size(0) == routing.num_tokens,
      "[losses] modality must be (", routing.num_tokens, ") when groups are given");
  std::vector<BalancePart> parts;
  int64_t first = 0;
  for (const auto& group : scope.groups) {
    BalancePart part{.first_expert = first, .num_experts = group.num_experts};
    if (!group.modalities.empty()) part.token_T = at::zeros_like(scope.modality_T, at::kBool);
    for (const auto modality : group.modalities) part.token_T |= scope.modality_T == static_cast<uint8_t>(modality);
    parts.push_back(std::move(part));
    first += group.num_experts;
  }
  check<ShapeError>(first == routing.num_experts, "[losses] groups have ", first, " experts, the routing has ",
                    routing.num_experts);
  return parts;
}

namespace {

// The part's columns of a table over all experts: its own, then the null experts.
at::Tensor columns_of(const at::Tensor& table_SE, const Routing& r, const BalancePart& part) {
  const auto own = table_SE.narrow(1, part.first_expert, part.num_experts);
  return r.num_null == 0 ? own : at::cat({own, table_SE.narrow(1, r.num_experts, r.num_null)}, 1);
}

}  // namespace

ExpertLoad expert_load(const Routing& r, const BalancePart& part, const at::Tensor& segment_T, int64_t num_segments) {
  check<ShapeError>(r.score_TE.defined(), "[losses] balance needs a router with scores; this routing has none");
  const int64_t T = r.num_tokens, S = num_segments, columns = r.num_experts + r.num_null;
  const auto float_options = r.score_TE.options();
  const auto inside_T =
      part.token_T.defined() ? part.token_T.to(r.score_TE.scalar_type()) : at::ones({T}, float_options);
  const auto segment = segment_T.defined() ? segment_T : at::zeros({T}, r.token_N.options());
  check<ShapeError>(segment.dim() == 1 && segment.size(0) == T && segment.scalar_type() == at::kLong,
                    "[losses] segment must be i64 (", T, ")");

  const auto cell_N = segment.index_select(0, r.token_N) * columns + r.expert_N;
  const auto count_SE = at::zeros({S * columns}, float_options)
                            .index_add_(0, cell_N, inside_T.index_select(0, r.token_N))
                            .reshape({S, columns});
  const auto score_TE = columns_of(r.score_TE, r, part);
  const auto sum_T1 = score_TE.sum(1, /*keepdim=*/true).clamp_min(std::numeric_limits<float>::min());
  const auto probability_TE = score_TE / sum_T1 * inside_T.unsqueeze(1);
  const auto tokens_S = at::zeros({S}, float_options).index_add_(0, segment, inside_T);
  const auto sum_SE = at::zeros({S, score_TE.size(1)}, float_options).index_add(0, segment, probability_TE);
  return {.count_SE = columns_of(count_SE, r, part),
          .probability_SE = sum_SE / tokens_S.clamp_min(1).unsqueeze(1),
          .tokens_S = tokens_S};
}

}  // namespace polyphony::moe
