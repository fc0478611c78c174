// SPDX-License-Identifier: Apache-2.0
#include "moe/capacity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace polyphony::moe {
namespace {

// i64 (N): place of each row among the rows of its id when they stand in `order_N`.
at::Tensor place_within(const at::Tensor& id_N, const at::Tensor& order_N) {
  const auto [sorted_id_N, to_sorted_N] = id_N.index_select(0, order_N).sort(/*stable=*/true, 0, /*descending=*/false);
  const auto index_N = at::arange(id_N.size(0), id_N.options());
  const auto starts_N = at::searchsorted(sorted_id_N, sorted_id_N);
  return at::empty_like(id_N).index_copy_(0, order_N.index_select(0, to_sorted_N), index_N - starts_N);
}

at::Tensor falling(const at::Tensor& value_N) {
  return std::get<1>(value_N.sort(/*stable=*/true, 0, /*descending=*/true));
}

// i64 (N): all rows in the order in which experts take them.
at::Tensor order_of_rows(const Routing& r, const std::string& policy, const std::optional<at::Generator>& generator) {
  const auto by_token_N = std::get<1>(r.token_N.sort(/*stable=*/true, 0, /*descending=*/false));
  const auto then = [](const at::Tensor& order_N, const at::Tensor& rank_N) {
    return order_N.index_select(0, std::get<1>(rank_N.index_select(0, order_N).sort(/*stable=*/true, 0, false)));
  };
  if (policy == "random") return std::get<1>(at::rand(r.token_N.sizes(), generator).sort());
  if (policy == "prefix") return then(by_token_N, place_within(r.token_N, falling(r.weight_N.detach())));
  const auto score_N = r.score_TE.defined() ? r.score_TE.detach().index({r.token_N, r.expert_N}) : r.weight_N.detach();
  return then(by_token_N, -score_N);
}

at::Tensor sum_of_tokens(const Routing& r, const at::Tensor& weight_N) {
  return at::zeros({r.num_tokens}, weight_N.options().requires_grad(false)).index_add(0, r.token_N, weight_N);
}

}  // namespace

const std::vector<Option<CapacityConfig>>& capacity_options() {
  using C = CapacityConfig;
  static const std::vector<Option<C>> options = {
      {"factor", &C::factor, "of an expert's even share of the rows; 0: dropless, below 0: at most what is needed"},
      {"eval_factor", &C::eval_factor, "the same outside training"},
      {"min_rows", &C::min_rows, "no capacity is below it", {.min = 1}},
      {"policy", &C::policy, "rows that an expert keeps", {}, {"none", "prefix", "random", "probability"}},
      {"renormalise", &C::renormalise, "a token's weights keep their sum when rows are dropped"},
      {"dear_share", &C::dear_share, "share of a dear expert against one that costs nothing", {.max = 1, .above = 0}},
  };
  return options;
}

void check_capacity(const CapacityConfig& config) {
  for (const auto& option : capacity_options()) check_option(option, config);
  check<ConfigError>(config.policy != "none" || (config.factor == 0 && config.eval_factor == 0),
                     "[moe.capacity] policy 'none' drops nothing, so factor and eval_factor must be 0, got ",
                     config.factor, " and ", config.eval_factor);
}

at::Tensor capacity_of_experts(const at::Tensor& rows_E, double factor, int64_t min_rows, const at::Tensor& share_E) {
  const auto most = rows_E.numel() == 0 ? 0 : rows_E.max().item<int64_t>();
  if (factor == 0) return at::full_like(rows_E, most);
  const auto share =
      share_E.defined() ? share_E.to(at::kDouble) : at::ones({rows_E.size(0)}, rows_E.options().dtype(at::kDouble));
  // The small number takes rounding errors of the division off before rounding up.
  const auto even_E = (share / share.sum() * rows_E.sum().to(at::kDouble) - 1e-9).ceil();
  const auto capacity_E = (even_E * std::abs(factor) + 1e-9).floor().to(at::kLong).clamp_min(min_rows);
  return factor > 0 ? capacity_E : capacity_E.clamp_max(std::max(most, min_rows));
}

Routing limit_capacity(Routing r, const at::Tensor& capacity_E, const std::string& policy, bool renormalise,
                       const std::optional<at::Generator>& generator) {
  check_routing(r);
  check<ShapeError>(capacity_E.dim() == 1 && capacity_E.size(0) == r.num_experts, "[capacity] capacity must be i64 (",
                    r.num_experts, ")");
  const auto limit_E = at::cat({capacity_E.to(at::kLong), at::full({r.num_null}, r.token_N.size(0), at::kLong)});
  const auto place_N = place_within(r.expert_N, order_of_rows(r, policy, generator));
  r.kept_N = place_N < limit_E.to(place_N.device()).index_select(0, r.expert_N);
  const auto kept_weight_N = r.weight_N * r.kept_N.to(r.weight_N.scalar_type());
  if (!renormalise) {
    r.weight_N = kept_weight_N;
    return r;
  }
  const auto before_T = sum_of_tokens(r, r.weight_N), after_T = sum_of_tokens(r, kept_weight_N);
  const auto factor_T = at::where(after_T > 0, before_T / after_T.masked_fill(after_T <= 0, 1), at::ones_like(after_T));
  r.weight_N = kept_weight_N * factor_T.index_select(0, r.token_N);
  return r;
}

Routing apply_capacity(Routing r, const CapacityConfig& config, const at::Tensor& cost_E, bool training,
                       const std::optional<at::Generator>& generator) {
  const double factor = training ? config.factor : config.eval_factor;
  if (factor == 0) return r;
  const auto rows_E = at::bincount(r.expert_N, {}, r.num_experts + r.num_null).narrow(0, 0, r.num_experts);
  const auto share_E = at::where(cost_E > 0, config.dear_share, 1.0).to(rows_E.device());
  return limit_capacity(std::move(r), capacity_of_experts(rows_E, factor, config.min_rows, share_E), config.policy,
                        config.renormalise, generator);
}

int64_t dropped_rows(const Routing& routing) {
  return routing.kept_N.defined() ? (~routing.kept_N).sum().item<int64_t>() : 0;
}

}  // namespace polyphony::moe
