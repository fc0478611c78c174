// SPDX-License-Identifier: Apache-2.0
// Capacity: how many rows an expert takes at most, and which rows go when more ask for it.
// Shapes: N rows, E routed experts.
#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "moe/options.h"
#include "moe/routing.h"

namespace polyphony::moe {

// One rule (Tutel, arXiv:2206.03382): factor > 0 gives every expert factor times its even share of the
// rows, 0 is dropless, factor < 0 gives |factor| times the share but never more than the busiest expert needs.
struct CapacityConfig {
  double factor = 0.0;            // while training
  double eval_factor = 0.0;       // outside training
  int64_t min_rows = 4;           // no expert's capacity is below it
  std::string policy = "prefix";  // none | prefix | random | probability: which rows an expert keeps
  bool renormalise = false;       // a token's weights keep their sum when some of its rows are dropped
  double dear_share = 1.0;        // share of an expert that costs something against that of one that costs nothing

  bool operator==(const CapacityConfig&) const = default;
};
const std::vector<Option<CapacityConfig>>& capacity_options();

// Throws ConfigError on values out of range, and on a capacity with a policy that drops nothing.
void check_capacity(const CapacityConfig& config);

// i64 (E): rows that each expert takes at most. rows_E: i64, what was asked for; share_E: f64, relative shares of the
// experts (undefined: even). Expert e's share of the N rows is ceil(N share_e / sum of shares); the capacity is
// floor(|factor| times it), at least min_rows; factor 0 gives the rows of the busiest expert, factor < 0 no more than
// that. With equal shares and k rows a token this is Tutel's k floor(c ceil(T / E)) up to rounding.
at::Tensor capacity_of_experts(const at::Tensor& rows_E, double factor, int64_t min_rows,
                               const at::Tensor& share_E = {});

// The same routing with kept_N and weights 0 in dropped rows; null experts have no limit. Within an expert rows are
// kept in this order, ties to the earlier token:
//   prefix       first choices before second ones, then by token (GShard, arXiv:2006.16668; a choice's rank is that of
//                its weight among the token's rows),
//   random       random token selection (Z-code M3, arXiv:2109.10465): each row is as likely as any other,
//   probability  the row's score, or its weight where the router has none (V-MoE, arXiv:2106.05974).
// Throws ShapeError as check_routing.
Routing limit_capacity(Routing routing, const at::Tensor& capacity_E, const std::string& policy, bool renormalise,
                       const std::optional<at::Generator>& generator = {});

// Both with a config: what a layer does after its router. cost_E: f64 (E), what a row of each expert costs.
// Source of unequal shares: MoE++ (arXiv:2410.07348), dear_share = its tau.
Routing apply_capacity(Routing routing, const CapacityConfig& config, const at::Tensor& cost_E, bool training,
                       const std::optional<at::Generator>& generator = {});

// Rows that a capacity dropped.
int64_t dropped_rows(const Routing& routing);

}  // namespace polyphony::moe
