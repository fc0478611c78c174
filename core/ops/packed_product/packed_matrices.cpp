// SPDX-License-Identifier: Apache-2.0
#include "core/ops/packed_product/packed_matrices.h"

#include <ATen/ATen.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "core/base/cpu_level.h"
#include "core/check.h"
#include "core/ops/bf16_product/tiles.h"
#include "core/ops/packed_product/packed_kernels.h"
#include "core/ops/parallel.h"
#include "core/ops/scratch.h"

namespace polyphony::ops {
namespace {

// The rows of a strip are neighbours.
struct Strip {
  int64_t first;
  int64_t count;  // of rows that exist, at most 16; may be none
};

Strip strip_of(const PackedMatrices& m, int64_t pair, int64_t side) {
  const int64_t half = m.rows / 2;
  const int64_t first = m.gated ? pair * kTileSide : (2 * pair + side) * kTileSide;
  const int64_t count = std::clamp<int64_t>((m.gated ? half : m.rows) - first, 0, kTileSide);
  return {.first = m.gated ? side * half + first : first, .count = count};
}

// Weights of a model are read from start to end again and again: large pages spare the processor looking up small ones.
at::Tensor step_memory(int64_t count, int64_t bytes) {
  const at::Tensor steps = at::empty({count, bytes}, at::kByte);
  constexpr uintptr_t kPage = 4096;
  const auto data = reinterpret_cast<uintptr_t>(steps.mutable_data_ptr());
  const uintptr_t first = (data + kPage - 1) / kPage * kPage, last = (data + steps.nbytes()) / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // only a hint
  return steps;
}

PackedMatrices empty_matrices(WeightFormat format, bool gated, int64_t count, int64_t rows, int64_t depth) {
  check<ShapeError>(!gated || rows % 2 == 0, "[pack_matrices] gate and up rows must be as many, got ", rows, " rows");
  PackedMatrices out;
  out.format = format;
  out.gated = gated;
  out.count = count;
  out.rows = rows;
  out.depth = depth;
  out.steps = step_memory(count, out.pairs() * out.pair_bytes());
  return out;
}

// fill(matrix, pair, bytes of the pair), over all pairs at once.
template <class Fill>
void for_each_pair(const PackedMatrices& m, const Fill& fill) {
  const int64_t pairs = m.pairs();
  uint8_t* steps = m.steps.mutable_data_ptr<uint8_t>();
  for_each_task(m.count * pairs, [&](int64_t i) { fill(i / pairs, i % pairs, steps + i * m.pair_bytes()); });
}

void pack_bf16(const at::Tensor& w_ENK, const PackedMatrices& m) {
  const Pack pack_strip = kernels_of(cpu_level()).pack_right;
  const int64_t tiles = tiles_of(m.depth, kTileDepth);
  for_each_pair(m, [&](int64_t e, int64_t pair, uint8_t* steps) {
    static thread_local Scratch<uint16_t> memory;
    uint16_t* packed = memory.of(tiles * kTileWords);
    for (int64_t side = 0; side < 2; ++side) {
      const Strip strip = strip_of(m, pair, side);
      if (strip.count == 0) {
        std::fill_n(packed, tiles * kTileWords, uint16_t{0});
      } else {
        const at::Tensor rows = w_ENK.select(0, e).narrow(0, strip.first, strip.count);
        pack_strip({.data = rows.const_data_ptr(),
                    .f32 = rows.scalar_type() == at::kFloat,
                    .count = strip.count,
                    .depth = m.depth,
                    .stride = rows.stride(0),
                    .depth_contiguous = true},
                   packed);
      }
      for (int64_t t = 0; t < tiles; ++t)
        std::memcpy(steps + (2 * t + side) * kTileWords * 2, packed + t * kTileWords, kTileWords * 2);
    }
  });
}

// Numbers of one row, and its scales a step each.
struct QuantizedRow {
  const uint8_t* values;
  const at::BFloat16* scales;
  int64_t group;
  bool int4;

  uint8_t number(int64_t k) const {  // as a step holds it
    if (!int4) return values[k];
    return k % 2 == 0 ? values[k / 2] & 15 : values[k / 2] >> 4;
  }
};

void pack_row(const QuantizedRow& row, int64_t depth, int64_t side, int64_t column, uint8_t* steps) {
  const int64_t tile_bytes = kTileWords / (row.int4 ? 2 : 1), bytes = kScaleBytes + 2 * tile_bytes;
  for (int64_t first = 0; first < depth; first += kStepDepth, steps += bytes) {
    std::memcpy(steps + (side * kTileSide + column) * 2, row.scales + first / row.group, 2);
    uint8_t* tile = steps + kScaleBytes + side * tile_bytes + column;
    for (int64_t k = 0; k < std::min(kStepDepth, depth - first); ++k) {
      uint8_t* to = tile + (row.int4 ? k % kTileSide : k) * kTileSide;
      const uint8_t number = row.number(first + k);
      *to = row.int4 && k >= kTileSide ? static_cast<uint8_t>(*to | number << 4) : number;
    }
  }
}

void pack_quantized(const QuantizedMatrices& q, const PackedMatrices& m) {
  const at::Tensor values = q.values.contiguous(), scales = q.scales_ENG.contiguous();
  const auto* value = static_cast<const uint8_t*>(values.const_data_ptr());
  const auto* scale = scales.const_data_ptr<at::BFloat16>();
  for_each_pair(m, [&](int64_t e, int64_t pair, uint8_t* steps) {
    std::memset(steps, 0, static_cast<size_t>(m.pair_bytes()));  // a scale of 0: the padding's number does not matter
    for (int64_t side = 0; side < 2; ++side) {
      const Strip strip = strip_of(m, pair, side);
      for (int64_t i = 0; i < strip.count; ++i) {
        const int64_t row = e * m.rows + strip.first + i;
        pack_row({.values = value + row * values.size(2),
                  .scales = scale + row * scales.size(2),
                  .group = q.group == 0 ? q.depth : q.group,
                  .int4 = q.format == WeightFormat::int4},
                 m.depth, side, i, steps);
      }
    }
  });
}

}  // namespace

int64_t step_bytes(WeightFormat format) {
  constexpr int64_t kBf16 = 2 * kTileWords * 2, kInt8 = kScaleBytes + 2 * kTileWords, kInt4 = kScaleBytes + kTileWords;
  return format == WeightFormat::bf16 ? kBf16 : format == WeightFormat::int8 ? kInt8 : kInt4;
}

int64_t PackedMatrices::pairs() const { return gated ? tiles_of(rows / 2, kTileSide) : tiles_of(rows, 2 * kTileSide); }
int64_t PackedMatrices::pair_bytes() const { return tiles_of(depth, kStepDepth) * step_bytes(format); }

PackedMatrices pack_matrices(const at::Tensor& w, WeightFormat format, bool gated, int64_t group) {
  if (format != WeightFormat::bf16) return pack_matrices(quantize_matrices(w, format, group), gated);
  check<ShapeError>(w.defined() && (w.dim() == 2 || w.dim() == 3) && w.is_cpu() &&
                        (w.scalar_type() == at::kFloat || w.scalar_type() == at::kBFloat16),
                    "[pack_matrices] expected (N, K) or (E, N, K) in f32 or bf16 on the CPU");
  const at::Tensor w_ENK = (w.dim() == 2 ? w.unsqueeze(0) : w).detach().contiguous();
  const PackedMatrices out = empty_matrices(format, gated, w_ENK.size(0), w_ENK.size(1), w_ENK.size(2));
  pack_bf16(w_ENK, out);
  return out;
}

PackedMatrices pack_matrices(const QuantizedMatrices& q, bool gated) {
  constexpr auto where = "[pack_matrices] ";
  const bool int8 = q.format == WeightFormat::int8;
  check<ShapeError>(q.format != WeightFormat::bf16 && q.values.dim() == 3 && q.scales_ENG.dim() == 3 && q.depth > 0 &&
                        q.values.scalar_type() == (int8 ? at::kChar : at::kByte) &&
                        q.scales_ENG.scalar_type() == at::kBFloat16 && q.group >= 0 && q.group % 32 == 0,
                    where, "expected quantised matrices (E, N, K) with bf16 scales");
  const int64_t size = q.group == 0 ? q.depth : q.group;
  check<ShapeError>(q.values.size(2) == (int8 ? q.depth : tiles_of(q.depth, 2)) &&
                        q.scales_ENG.size(2) == tiles_of(q.depth, size) && q.scales_ENG.size(0) == q.values.size(0) &&
                        q.scales_ENG.size(1) == q.values.size(1),
                    where, "values ", q.values.sizes(), " and scales ", q.scales_ENG.sizes(), " do not fit a depth of ",
                    q.depth, " in groups of ", size);
  const PackedMatrices out = empty_matrices(q.format, gated, q.values.size(0), q.values.size(1), q.depth);
  pack_quantized(q, out);
  return out;
}

at::Tensor unpack_matrices(const PackedMatrices& m) {
  at::Tensor out_ENK = at::empty({m.count, m.rows, m.depth}, at::kFloat);
  const int64_t tiles = tiles_of(m.depth, kTileDepth);
  float* out = out_ENK.mutable_data_ptr<float>();
  for_each_pair(m, [&](int64_t e, int64_t pair, const uint8_t* steps) {
    static thread_local Scratch<uint16_t> memory;
    uint16_t* expanded = memory.of(2 * tiles * kTileWords);
    if (m.format == WeightFormat::bf16) std::memcpy(expanded, steps, static_cast<size_t>(m.pair_bytes()));
    if (m.format == WeightFormat::int8) kPlainPacked.int8.expand(steps, tiles, expanded);
    if (m.format == WeightFormat::int4) kPlainPacked.int4.expand(steps, tiles, expanded);
    for (int64_t side = 0; side < 2; ++side) {
      const Strip strip = strip_of(m, pair, side);
      for (int64_t i = 0; i < strip.count; ++i)
        for (int64_t k = 0; k < m.depth; ++k) {
          const uint16_t* tile = expanded + (2 * (k / kTileDepth) + side) * kTileWords;
          const uint16_t bits = tile[(k % kTileDepth / 2 * kTileSide + i) * 2 + k % 2];
          out[(e * m.rows + strip.first + i) * m.depth + k] = c10::detail::f32_from_bits(bits);
        }
    }
  });
  return out_ENK;
}

}  // namespace polyphony::ops
