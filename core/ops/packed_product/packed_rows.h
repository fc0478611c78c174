// SPDX-License-Identifier: Apache-2.0
// A task's part of a product with packed weights: a block of rows against pairs of strips, on the calling thread.
#pragma once
#include "core/base/cpu_level.h"
#include "core/ops/bf16_product/tiles.h"
#include "core/ops/packed_product/packed_kernels.h"
#include "core/ops/packed_product/packed_matrices.h"

namespace polyphony::ops {

inline constexpr int64_t kPackedRows = 256;  // of a block, at most: with 2,048 of depth it fills half a level-2 cache

// Up to kFewRows rows against quantised weights stay f32, whole to the end of the last step; others are strips of bf16,
// of an even number.
struct PackedRows {
  int64_t count = 0;
  int64_t depth = 0;
  bool few = false;
  void* data = nullptr;

  int64_t steps() const { return tiles_of(depth, kTileDepth); }
  int64_t stride() const { return steps() * kTileDepth; }  // f32 of a row
  float* values() const { return static_cast<float*>(data); }
  uint16_t* strips() const { return static_cast<uint16_t*>(data); }
};

// The kernels of a level for weights of one format.
struct PackedLevel {
  const TileKernels& tiles;
  QuantizedKernels quantized;
  WeightFormat format;

  PackedLevel(WeightFormat format, CpuLevel level);
  bool few(int64_t rows) const { return quantized.few_rows != nullptr && rows <= kFewRows; }
};

// 16-bit words that `count` rows of this depth take, in either form.
int64_t packed_row_words(int64_t count, int64_t depth);

// Rows [first, first + count) of x (contiguous, bf16 or f32), or the rows that token[first ...] names where not null,
// into rows.data.
void pack_rows(const PackedLevel& level, const at::Tensor& x_TD, const int64_t* token, int64_t first,
               const PackedRows& rows);

// Sums of rows [32 * block, ...) of the task and of one pair, two by two sum tiles (tiles.h).
struct PairSums {
  const float* sum;
  int64_t block;
  int64_t pair;
};

// One matrix's pairs [first, last), in the order of memory. store(PairSums) is called once for each pair and 32 rows.
struct PairRange {
  int64_t matrix;
  int64_t first;
  int64_t last;
};

namespace packed_detail {
// Sums of all rows with one pair.
void multiply_pair(const PackedLevel& level, const PackedRows& rows, const uint8_t* steps, float* sums);
float* sum_memory(int64_t blocks);
}  // namespace packed_detail

template <class Store>
void multiply_packed(const PackedLevel& level, const PackedRows& rows, const PackedMatrices& w, const PairRange& range,
                     const Store& store) {
  const int64_t blocks = tiles_of(rows.count, 2 * kTileSide);
  float* sums = packed_detail::sum_memory(blocks);
  const uint8_t* steps = w.steps.const_data_ptr<uint8_t>() + (range.matrix * w.pairs() + range.first) * w.pair_bytes();
  level.tiles.begin(rows.count);
  for (int64_t pair = range.first; pair < range.last; ++pair, steps += w.pair_bytes()) {
    packed_detail::multiply_pair(level, rows, steps, sums);
    for (int64_t block = 0; block < blocks; ++block)
      store(PairSums{.sum = sums + block * 4 * kSumWords, .block = block, .pair = pair});
  }
  level.tiles.end();
}

// The sums into rows of out (contiguous, f32 or bf16) from row `first_row` on, `rows` of them in the task.
void store_pair(const PackedLevel& level, const PairSums& sums, const at::Tensor& out_RN, int64_t first_row,
                int64_t rows);

}  // namespace polyphony::ops
