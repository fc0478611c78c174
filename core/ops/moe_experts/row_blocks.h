// SPDX-License-Identifier: Apache-2.0
// How the work of moe_experts is cut into tasks: blocks of rows of one expert, the shared expert coming last.
#pragma once
#include <vector>

#include "core/ops/moe_experts/moe_experts_cpu.h"

namespace polyphony::ops {

// Rows [first, first + count) of the sorted rows, or of the tokens for the shared expert.
struct RowBlock {
  int64_t expert = 0;  // E for the shared expert
  int64_t first = 0;
  int64_t count = 0;
};

// Fixed by the plan alone, so that a block's products are the same for any number of threads.
std::vector<RowBlock> row_blocks(const DispatchPlan& plan, bool with_shared, int64_t rows_per_block);

// One block an expert (blocks of no rows included), then the shared expert's.
std::vector<RowBlock> expert_blocks(const DispatchPlan& plan, bool with_shared);

inline constexpr int64_t kRowsPerBlock = 256;

}  // namespace polyphony::ops
