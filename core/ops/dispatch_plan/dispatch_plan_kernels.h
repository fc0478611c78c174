// SPDX-License-Identifier: Apache-2.0
// The steps of a dispatch plan on a GPU. Keys and places are i32 there: fewer than 2^31 rows, tokens and experts.
// C++17.
#pragma once
#include <cstdint>

namespace polyphony::ops {

// key[n] = expert[n], null experts as num_experts; index[n] = n. first_bad must hold N and N: it becomes the first row
// with a token out of range and the first with a negative expert.
struct PlanKeys {
  const int64_t* token_N;
  const int64_t* expert_N;
  int32_t* key_N;
  int32_t* index_N;
  int32_t* first_bad_2;
  int64_t num_rows;  // N
  int64_t num_tokens;
  int64_t num_experts;
};
void launch(const PlanKeys& keys);

// One pass of a stable counting sort of (key, value) pairs: by the eight bits of the key from `shift` up.
struct SortPass {
  const int32_t* key_in;
  const int32_t* value_in;
  int32_t* key_out;
  int32_t* value_out;
  int32_t* counts;  // scratch of sort_scratch(num_rows)
  int64_t num_rows;
  int shift;
};
inline constexpr int kSortBits = 8;
int64_t sort_scratch(int64_t num_rows);
void launch(const SortPass& pass);

// bound[k] = how many of the ascending keys are below k, for k in [0, num_bounds).
struct LowerBounds {
  const int32_t* key_R;
  int64_t* bound_K;
  int64_t num_rows;
  int64_t num_bounds;
};
void launch(const LowerBounds& bounds);

// The plan's rows from the sorted pairs, and the keys of the sort by token.
struct PlanRows {
  const int32_t* key_R;
  const int32_t* index_R;
  const int64_t* token_N;
  int64_t* row_R;
  int64_t* token_R;
  int64_t* expert_R;
  int32_t* token_key_R;
  int32_t* slot_R;   // r
  int64_t num_rows;  // R
};
void launch(const PlanRows& rows);

}  // namespace polyphony::ops
