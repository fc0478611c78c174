// SPDX-License-Identifier: Apache-2.0
// What all balance losses are made of: how often experts are chosen and how probable they were, segment by segment.
// Shapes: T tokens, E expert columns (null experts included), S segments (expert groups, or samples).
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "moe/routing.h"

namespace polyphony::moe {

// Which tokens and experts are balanced against one another. Empty groups: all tokens and all experts.
// With groups each group is balanced by itself, over its own tokens, and the losses of the groups are added.
struct BalanceScope {
  at::Tensor modality_T = {};  // u8; needed with groups
  std::vector<ExpertGroup> groups = {};
};

// One part of a scope: some tokens and a run of experts.
struct BalancePart {
  at::Tensor token_T = {};  // bool; undefined: all tokens
  int64_t first_expert = 0;
  int64_t num_experts = 0;
};
std::vector<BalancePart> parts_of(const Routing& routing, const BalanceScope& scope);

struct ExpertLoad {
  at::Tensor count_SE = {};        // f32: rows that chose the expert; no gradient
  at::Tensor probability_SE = {};  // f32: mean probability over the part's tokens in the segment; 0 if there are none
  at::Tensor tokens_S = {};        // f32: the part's tokens in the segment
};

// Load of one part's columns: its experts, then the null experts. Scores are normalised over these columns token by
// token, which leaves softmax over one group as it is and does for sigmoid what DeepSeek-V3 (arXiv:2412.19437) (18)
// does. segment_T: i64 in [0, num_segments); undefined: one segment. Throws ShapeError if the routing has no scores.
ExpertLoad expert_load(const Routing& routing, const BalancePart& part, const at::Tensor& segment_T = {},
                       int64_t num_segments = 1);

}  // namespace polyphony::moe
