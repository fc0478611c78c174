// SPDX-License-Identifier: Apache-2.0
#include "core/ops/packed_product/packed_rows.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstring>

#include "core/ops/row_math.h"
#include "core/ops/scratch.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kDepthBlock = 16;  // steps: a pair's are 32 KiB as bf16 and stay in a level-1 cache
constexpr int64_t kStepWords = 2 * kTileWords;

const PackedKernels& packed_kernels(CpuLevel level) {
#if defined(__x86_64__)
  if (level >= CpuLevel::avx512_bf16) return kAvx512Packed;
#endif
  return kPlainPacked;
}

struct Source {
  const at::Tensor& x_TD;
  const int64_t* token;
  int64_t first;

  const char* row(int64_t r) const {
    const int64_t t = token ? token[first + r] : first + r;
    return static_cast<const char*>(x_TD.const_data_ptr()) + t * x_TD.size(1) * x_TD.element_size();
  }
};

void widen_row(const char* from, at::ScalarType dtype, int64_t depth, float* to) {
  if (dtype == at::kFloat) {
    std::memcpy(to, from, sizeof(float) * static_cast<size_t>(depth));
    return;
  }
  const auto* values = reinterpret_cast<const c10::BFloat16*>(from);
  for (int64_t k = 0; k < depth; ++k) to[k] = load(values[k]);
}

// Two strips at a time: their rows are gathered to neighbours that the packing kernel takes.
void pack_strips(const PackedLevel& level, const Source& source, const PackedRows& rows) {
  static thread_local Scratch<char> memory;
  const auto row_bytes = static_cast<int64_t>(source.x_TD.element_size()) * rows.depth;
  char* gathered = memory.of(2 * kTileSide * row_bytes);
  uint16_t* to = rows.strips();
  const int64_t strip = rows.steps() * kTileWords;
  for (int64_t r = 0; r < rows.count; r += 2 * kTileSide, to += 2 * strip) {
    const int64_t count = std::min(2 * kTileSide, rows.count - r);
    for (int64_t i = 0; i < count; ++i)
      std::memcpy(gathered + i * row_bytes, source.row(r + i), static_cast<size_t>(row_bytes));
    level.tiles.pack_left({.data = gathered,
                           .f32 = source.x_TD.scalar_type() == at::kFloat,
                           .count = count,
                           .depth = rows.depth,
                           .stride = rows.depth,
                           .depth_contiguous = true},
                          to);
    if (count <= kTileSide) std::fill_n(to + strip, strip, uint16_t{0});
  }
}

}  // namespace

PackedLevel::PackedLevel(WeightFormat format_, CpuLevel level)
    : tiles(kernels_of(level)), quantized{}, format(format_) {
  if (format != WeightFormat::bf16)
    quantized = format == WeightFormat::int8 ? packed_kernels(level).int8 : packed_kernels(level).int4;
}

int64_t packed_row_words(int64_t count, int64_t depth) {
  return even_strips(count) * tiles_of(depth, kTileDepth) * kTileWords;
}

void pack_rows(const PackedLevel& level, const at::Tensor& x_TD, const int64_t* token, int64_t first,
               const PackedRows& rows) {
  const Source source{.x_TD = x_TD, .token = token, .first = first};
  if (!rows.few) return pack_strips(level, source, rows);
  for (int64_t r = 0; r < rows.count; ++r) {
    float* to = rows.values() + r * rows.stride();
    widen_row(source.row(r), x_TD.scalar_type(), rows.depth, to);
    std::fill(to + rows.depth, to + rows.stride(), 0.0f);
  }
}

namespace packed_detail {

float* sum_memory(int64_t blocks) {
  static thread_local Scratch<float> memory;
  return memory.of(std::max<int64_t>(1, blocks) * 4 * kSumWords);
}

void multiply_pair(const PackedLevel& level, const PackedRows& rows, const uint8_t* steps, float* sums) {
  if (rows.few) return level.quantized.few_rows(rows.values(), rows.count, rows.stride(), steps, rows.steps(), sums);
  static thread_local Scratch<uint16_t> memory;
  const int64_t depth = rows.steps(), strip = depth * kTileWords;
  const int64_t blocks = tiles_of(rows.count, 2 * kTileSide);
  const int64_t bytes = step_bytes(level.format);
  const bool plain = level.format == WeightFormat::bf16;
  if (depth == 0) std::fill_n(sums, blocks * 4 * kSumWords, 0.0f);
  for (int64_t k = 0; k < depth; k += kDepthBlock) {
    const int64_t count = std::min(kDepthBlock, depth - k);
    const auto* right = reinterpret_cast<const uint16_t*>(steps + k * bytes);
    if (!plain) {
      uint16_t* expanded = memory.of(kDepthBlock * kStepWords);
      level.quantized.expand(steps + k * bytes, count, expanded);
      right = expanded;
    }
    for (int64_t b = 0; b < blocks; ++b)
      level.tiles.multiply({.left = rows.strips() + 2 * b * strip + k * kTileWords,
                            .right = right,
                            .left_step = strip,
                            .right_step = kTileWords,
                            .right_stride = kStepWords,
                            .depth = count,
                            .rows = std::min(2 * kTileSide, rows.count - b * 2 * kTileSide),
                            .ahead = plain && b == 0 ? kDepthBlock * kStepWords : 0},
                           sums + b * 4 * kSumWords, k > 0);
  }
}

}  // namespace packed_detail

namespace {

template <class Out>
void store_as(void (*store)(const float*, const Place<Out>&), const PairSums& s, Out* out, int64_t N, int64_t rows) {
  const int64_t row = s.block * 2 * kTileSide, column = s.pair * 2 * kTileSide;
  store(s.sum, {.out = out + row * N + column,
                .stride = N,
                .rows = std::min(2 * kTileSide, rows - row),
                .columns = std::min(2 * kTileSide, N - column),
                .transposed = false,
                .add = false});
}

}  // namespace

void store_pair(const PackedLevel& level, const PairSums& sums, const at::Tensor& out_RN, int64_t first_row,
                int64_t rows) {
  const int64_t N = out_RN.size(1);
  if (out_RN.scalar_type() == at::kFloat)
    return store_as(level.tiles.store_f32, sums, out_RN.mutable_data_ptr<float>() + first_row * N, N, rows);
  store_as(level.tiles.store_bf16, sums,
           reinterpret_cast<uint16_t*>(out_RN.mutable_data_ptr<c10::BFloat16>()) + first_row * N, N, rows);
}

}  // namespace polyphony::ops
