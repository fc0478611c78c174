// SPDX-License-Identifier: Apache-2.0
// Two rounds of tasks. Round one, a block of rows of one expert and a range of its hidden units each: gather, first
// product, activation. Round two, a block of rows and a range of columns each: second product. Then the combine.
#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/bf16_product/tiles.h"
#include "core/ops/combine_rows/row_moves.h"
#include "core/ops/gated_activation/gated_activation_rows.h"
#include "core/ops/moe_experts/row_blocks.h"
#include "core/ops/packed_product/packed_product.h"
#include "core/ops/packed_product/packed_rows.h"
#include "core/ops/parallel.h"
#include "core/ops/scratch.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kTasks = 64;  // of a round, where there are fewer blocks than that

struct Task {
  size_t block;
  int64_t first;  // pair
  int64_t last;
};

// A few experts with few rows each are cut along their weights, so that every thread streams.
std::vector<Task> tasks_of(const std::vector<RowBlock>& blocks, const auto& pairs_of) {
  const auto count = static_cast<int64_t>(blocks.size());
  std::vector<Task> tasks;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const int64_t pairs = pairs_of(blocks[b]);
    const int64_t width = count >= kTasks ? pairs : std::max<int64_t>(2, tiles_of(pairs * count, kTasks));
    for (int64_t first = 0; first < pairs; first += width)
      tasks.push_back({.block = b, .first = first, .last = std::min(pairs, first + width)});
  }
  return tasks;
}

// act(gate) * up of 32 rows and 16 hidden units, into the rows of the second product.
void store_activated(const PairSums& s, const PackedRows& hidden, Activation activation) {
  constexpr int64_t kPairRows = 2 * kTileSide;
  float a[kSumWords];
  for (int64_t half = 0; half < 2; ++half) {
    const int64_t first = s.block * kPairRows + half * kTileSide;
    const int64_t rows = std::min(kTileSide, hidden.count - first);
    if (rows <= 0) return;
    gated_activation_row(s.sum + half * 2 * kSumWords, a, kSumWords, activation);  // gate tile, then up tile
    const int64_t unit = s.pair * kTileSide;
    if (hidden.few) {
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(a + r * kTileSide, kTileSide, hidden.values() + (first + r) * hidden.stride() + unit);
      continue;
    }
    uint16_t* tile = hidden.strips() + (first / kTileSide * hidden.steps() + unit / kTileDepth) * kTileWords;
    auto* to = reinterpret_cast<c10::BFloat16*>(tile + unit % kTileDepth);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < kTileSide; ++c) store(to + r * kTileDepth + c, a[r * kTileSide + c]);
  }
}

void check_input(const at::Tensor& x_TD, const DispatchPlan& plan, const at::Tensor& weight_N,
                 const PackedExperts& experts, const PackedExperts* shared) {
  constexpr auto where = "[packed_experts] ";
  check<ShapeError>(x_TD.defined() && x_TD.dim() == 2 && x_TD.is_cpu() && x_TD.size(0) == plan.num_tokens &&
                        (x_TD.scalar_type() == at::kFloat || x_TD.scalar_type() == at::kBFloat16),
                    where, "x must be (", plan.num_tokens, ", D) in f32 or bf16 on the CPU");
  check<ShapeError>(weight_N.defined() && weight_N.dim() == 1 && weight_N.size(0) == plan.num_routing_rows &&
                        weight_N.scalar_type() == at::kFloat,
                    where, "weights must be f32 (", plan.num_routing_rows, ")");
  const auto check_banks = [&](const PackedExperts& banks, int64_t count, const char* name) {
    check<ShapeError>(banks.w13.gated && !banks.w2.gated && banks.w13.count == count && banks.w2.count == count &&
                          banks.w13.depth == x_TD.size(1) && banks.w2.rows == x_TD.size(1) &&
                          banks.w13.rows == 2 * banks.w2.depth && banks.w13.format == banks.w2.format,
                      where, name, " must be ", count, " gated (2F, ", x_TD.size(1), ") and (", x_TD.size(1),
                      ", F) of one format, got ", banks.w13.count, " (", banks.w13.rows, ", ", banks.w13.depth,
                      ") and ", banks.w2.count, " (", banks.w2.rows, ", ", banks.w2.depth, ")");
  };
  check_banks(experts, plan.num_experts, "banks");
  if (shared) check_banks(*shared, 1, "the shared expert's");
}

}  // namespace

at::Tensor packed_experts(const at::Tensor& x, const DispatchPlan& plan, const at::Tensor& weight_N,
                          const PackedExperts& experts, const PackedExperts* shared, Activation activation,
                          CpuLevel cpu) {
  check_input(x, plan, weight_N, experts, shared);
  const KernelsOnly guard;
  const at::Tensor x_TD = x.contiguous();
  const int64_t D = x_TD.size(1), E = plan.num_experts;
  const PackedLevel routed_level(experts.w13.format, cpu);
  const PackedLevel shared_level(shared ? shared->w13.format : experts.w13.format, cpu);
  const int64_t* token = plan.token_R.const_data_ptr<int64_t>();
  const auto blocks = row_blocks(plan, shared != nullptr, kPackedRows);
  const auto banks = [&](const RowBlock& block) -> const PackedExperts& {
    return block.expert == E ? *shared : experts;
  };
  const auto level_of = [&](const RowBlock& block) -> const PackedLevel& {
    return block.expert == E ? shared_level : routed_level;
  };

  std::vector<int64_t> hidden_first;
  int64_t hidden_words = 0;
  for (const RowBlock& block : blocks) {
    hidden_first.push_back(hidden_words);
    hidden_words += packed_row_words(block.count, banks(block).w2.depth);
  }
  const bool padded = experts.w2.depth % kTileDepth != 0 || (shared && shared->w2.depth % kTileDepth != 0);
  const at::Tensor hidden_memory =
      padded ? at::zeros({hidden_words}, at::kShort) : at::empty({hidden_words}, at::kShort);
  const auto hidden_of = [&](size_t b) {
    return PackedRows{.count = blocks[b].count,
                      .depth = banks(blocks[b]).w2.depth,
                      .few = level_of(blocks[b]).few(blocks[b].count),
                      .data = hidden_memory.mutable_data_ptr<int16_t>() + hidden_first[b]};
  };
  const auto matrix_of = [&](const RowBlock& block) { return block.expert == E ? 0 : block.expert; };

  const auto first_round = tasks_of(blocks, [&](const RowBlock& block) { return banks(block).w13.pairs(); });
  for_each_task(static_cast<int64_t>(first_round.size()), [&](int64_t i) {
    static thread_local Scratch<uint16_t> memory;
    const Task& task = first_round[static_cast<size_t>(i)];
    const RowBlock& block = blocks[task.block];
    const PackedLevel& level = level_of(block);
    const PackedRows rows{.count = block.count,
                          .depth = D,
                          .few = level.few(block.count),
                          .data = memory.of(packed_row_words(block.count, D))};
    pack_rows(level, x_TD, block.expert == E ? nullptr : token, block.first, rows);
    const PackedRows hidden = hidden_of(task.block);
    multiply_packed(level, rows, banks(block).w13, {.matrix = matrix_of(block), .first = task.first, .last = task.last},
                    [&](const PairSums& sums) { store_activated(sums, hidden, activation); });
  });

  const at::Tensor y_RD = at::empty({plan.num_rows(), D}, x_TD.options());
  const at::Tensor shared_y_TD = shared ? at::empty_like(x_TD) : at::Tensor();
  const auto second_round = tasks_of(blocks, [&](const RowBlock& block) { return banks(block).w2.pairs(); });
  for_each_task(static_cast<int64_t>(second_round.size()), [&](int64_t i) {
    const Task& task = second_round[static_cast<size_t>(i)];
    const RowBlock& block = blocks[task.block];
    const PackedLevel& level = level_of(block);
    const at::Tensor& out = block.expert == E ? shared_y_TD : y_RD;
    multiply_packed(level, hidden_of(task.block), banks(block).w2,
                    {.matrix = matrix_of(block), .first = task.first, .last = task.last},
                    [&](const PairSums& sums) { store_pair(level, sums, out, block.first, block.count); });
  });
  return sum_rows_of_tokens(y_RD, weight_N.contiguous().index_select(0, plan.row_R), plan, shared_y_TD);
}

}  // namespace polyphony::ops
