// SPDX-License-Identifier: Apache-2.0
#include "core/ops/moe_experts/row_blocks.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace polyphony::ops {

std::vector<RowBlock> expert_blocks(const DispatchPlan& plan, bool with_shared) {
  const int64_t* offset = plan.offset_E1.const_data_ptr<int64_t>();
  std::vector<RowBlock> blocks;
  blocks.reserve(static_cast<size_t>(plan.num_experts + 1));
  for (int64_t e = 0; e < plan.num_experts; ++e)
    blocks.push_back({.expert = e, .first = offset[e], .count = offset[e + 1] - offset[e]});
  if (with_shared) blocks.push_back({.expert = plan.num_experts, .first = 0, .count = plan.num_tokens});
  return blocks;
}

std::vector<RowBlock> row_blocks(const DispatchPlan& plan, bool with_shared, int64_t rows_per_block) {
  std::vector<RowBlock> blocks;
  for (const RowBlock& all : expert_blocks(plan, with_shared))
    for (int64_t first = 0; first < all.count; first += rows_per_block)
      blocks.push_back(
          {.expert = all.expert, .first = all.first + first, .count = std::min(rows_per_block, all.count - first)});
  return blocks;
}

}  // namespace polyphony::ops
