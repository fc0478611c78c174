// SPDX-License-Identifier: Apache-2.0
// One plan of a routing: rows sorted by expert (stable), and CSR by token for a combine in fixed order.
// Shapes: N routed rows of T tokens over E experts; R <= N dispatched rows (null experts are left out).
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::ops {

// All i64 tensors on the routing's device. Sorted row r belongs to expert e iff offset_E1[e] <= r < offset_E1[e + 1].
struct DispatchPlan {
  at::Tensor row_R;            // routing row of sorted row r, in [0, N); token order kept within an expert
  at::Tensor token_R;          // token of sorted row r
  at::Tensor expert_R;         // expert of sorted row r, ascending
  at::Tensor offset_E1;        // E + 1 prefix sums of the rows an expert got
  at::Tensor token_offset_T1;  // T + 1: sorted rows of token t are slot_R[token_offset_T1[t] .. token_offset_T1[t + 1])
  at::Tensor slot_R;           // sorted-row indices grouped by token, ascending by expert within a token
  int64_t num_tokens = 0;
  int64_t num_experts = 0;
  int64_t num_routing_rows = 0;  // N

  int64_t num_rows() const { return token_R.size(0); }
};

// token_N, expert_N: i64 (N). Rows with expert >= num_experts are null experts and are skipped.
// Throws ShapeError if a token is outside [0, num_tokens) or an expert is negative.
// The sort is a stable counting sort: the same bits for any number of threads.
// Source: MegaBlocks (arXiv:2211.15841), without padding or dropping.
DispatchPlan make_dispatch_plan(const at::Tensor& token_N, const at::Tensor& expert_N, int64_t num_tokens,
                                int64_t num_experts);

// The definition in stable sorts of LibTorch, for any device; no checks of shapes. Tests compare with it.
DispatchPlan dispatch_plan_reference(const at::Tensor& token_N, const at::Tensor& expert_N, int64_t num_tokens,
                                     int64_t num_experts);

}  // namespace polyphony::ops
