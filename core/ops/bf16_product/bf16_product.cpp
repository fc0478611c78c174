// SPDX-License-Identifier: Apache-2.0
// The blocks of a product: a packed block of the operand that stays, and panels of the one that streams by.
#include "core/ops/bf16_product/bf16_product.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/ops/bf16_product/tiles.h"
#include "core/ops/scratch.h"

namespace polyphony::ops {
const TileKernels& kernels_of(CpuLevel level) {
  check<ShapeError>(level <= highest_cpu_level(), "[bf16_product] this machine has no level above ",
                    to_string(highest_cpu_level()), ", got ", to_string(level));
#if defined(__x86_64__)
  if (level == CpuLevel::amx) return kAmxTiles;
  if (level == CpuLevel::avx512_bf16) return kAvx512Tiles;
  if (level == CpuLevel::avx2) return kAvx2Tiles;
#endif
  return kPlainTiles;
}

namespace {

constexpr int64_t kResidentTiles = 1024;  // 1 MiB: half of a level-2 cache
constexpr int64_t kDepthBlock = 16;       // tiles: two strips of them are 32 KiB and stay in a level-1 cache
constexpr int64_t kRowPanel = 2;          // strips of a panel whose vectors are contiguous,
constexpr int64_t kColumnPanel = 8;       // and of one that takes a piece of each row of memory

struct Task {
  const TileKernels& kernels;
  Vectors left;
  Vectors right;
  bool transposed;  // out is (right, left)
  bool add;
};

Vectors some(const Vectors& all, int64_t first, int64_t count) {
  Vectors out = all;
  const int64_t skipped = (all.depth_contiguous ? first * all.stride : first) * (all.f32 ? 4 : 2);
  out.data = static_cast<const char*>(all.data) + skipped;
  out.count = std::min(count, all.count - first);
  return out;
}

// Packs to an even number of strips: the last may be one of zeros.
void pack(Pack pack_strips, const Vectors& from, uint16_t* to) {
  pack_strips(from, to);
  const int64_t strip = tiles_of(from.depth, kTileDepth) * kTileWords;
  const int64_t packed = tiles_of(from.count, kTileSide);
  if (packed % 2 != 0) std::fill_n(to + packed * strip, strip, uint16_t{0});
}

// sum[left pair][right pair][2][2] of packed strips, one block of the depth after another.
void multiply_strips(const TileKernels& kernels, const uint16_t* left, int64_t left_pairs, const uint16_t* right,
                     int64_t right_pairs, int64_t depth, float* sum) {
  const int64_t strip = depth * kTileWords;
  for (int64_t k = 0; k < depth; k += kDepthBlock)
    for (int64_t l = 0; l < left_pairs; ++l)
      for (int64_t r = 0; r < right_pairs; ++r)
        kernels.multiply({.left = left + 2 * l * strip + k * kTileWords,
                          .right = right + 2 * r * strip + k * kTileWords,
                          .left_step = strip,
                          .right_step = strip,
                          .right_stride = kTileWords,
                          .depth = std::min(kDepthBlock, depth - k),
                          .rows = 2 * kTileSide,
                          .ahead = 0},
                         sum + (l * right_pairs + r) * 4 * kSumWords, k > 0);
}

void store(const TileKernels& kernels, const float* sum, const Place<float>& place) { kernels.store_f32(sum, place); }
void store(const TileKernels& kernels, const float* sum, const Place<uint16_t>& place) {
  kernels.store_bf16(sum, place);
}

// The part of out that left vectors [left_first, ...) and right vectors [right_first, ...) give.
template <class Out>
void store_sums(const Task& task, const float* sum, int64_t left_first, int64_t left_count, int64_t right_first,
                int64_t right_count, Out* out, int64_t stride) {
  constexpr int64_t kPair = 2 * kTileSide;
  for (int64_t l = 0; l < left_count; l += kPair)
    for (int64_t r = 0; r < right_count; r += kPair, sum += 4 * kSumWords) {
      const int64_t lefts = std::min(kPair, left_count - l), rights = std::min(kPair, right_count - r);
      const int64_t row = task.transposed ? right_first + r : left_first + l;
      const int64_t column = task.transposed ? left_first + l : right_first + r;
      store(task.kernels, sum,
            Place<Out>{.out = out + row * stride + column,
                       .stride = stride,
                       .rows = task.transposed ? rights : lefts,
                       .columns = task.transposed ? lefts : rights,
                       .transposed = task.transposed,
                       .add = task.add});
    }
}

template <class Out>
void run(const Task& task, Out* out, int64_t stride) {
  static thread_local Scratch<uint16_t> resident_memory, panel_memory;
  static thread_local Scratch<float> sum_memory;
  const bool left_streams = task.left.count >= task.right.count;
  const Vectors& streamed = left_streams ? task.left : task.right;
  const Vectors& resident = left_streams ? task.right : task.left;
  const Pack pack_streamed = left_streams ? task.kernels.pack_left : task.kernels.pack_right;
  const Pack pack_resident = left_streams ? task.kernels.pack_right : task.kernels.pack_left;
  const int64_t depth = tiles_of(task.left.depth, kTileDepth);
  const int64_t panel = kTileSide * (streamed.depth_contiguous ? kRowPanel : kColumnPanel);
  const int64_t block = kTileSide * std::max<int64_t>(2, kResidentTiles / depth / 2 * 2);
  const int64_t block_strips = even_strips(std::min(block, resident.count));
  const int64_t panel_strips = even_strips(std::min(panel, streamed.count));
  uint16_t* packed_block = resident_memory.of(block_strips * depth * kTileWords);
  uint16_t* packed_panel = panel_memory.of(panel_strips * depth * kTileWords);
  float* sum = sum_memory.of(block_strips * panel_strips * kSumWords);
  for (int64_t b = 0; b < resident.count; b += block) {
    const Vectors stays = some(resident, b, block);
    pack(pack_resident, stays, packed_block);
    for (int64_t p = 0; p < streamed.count; p += panel) {
      const Vectors passes = some(streamed, p, panel);
      pack(pack_streamed, passes, packed_panel);
      const int64_t stay_pairs = even_strips(stays.count) / 2, pass_pairs = even_strips(passes.count) / 2;
      if (left_streams) {
        multiply_strips(task.kernels, packed_panel, pass_pairs, packed_block, stay_pairs, depth, sum);
        store_sums(task, sum, p, passes.count, b, stays.count, out, stride);
      } else {
        multiply_strips(task.kernels, packed_block, stay_pairs, packed_panel, pass_pairs, depth, sum);
        store_sums(task, sum, b, stays.count, p, passes.count, out, stride);
      }
    }
  }
}

// Rows of a matrix as vectors: of a itself, or of b transposed.
Vectors rows_of(const at::Tensor& matrix) {
  const bool contiguous = matrix.stride(1) == 1 || matrix.size(1) == 1;
  return {.data = matrix.const_data_ptr(),
          .f32 = matrix.scalar_type() == at::kFloat,
          .count = matrix.size(0),
          .depth = matrix.size(1),
          .stride = contiguous ? matrix.stride(0) : matrix.stride(1),
          .depth_contiguous = contiguous};
}

bool has_contiguous_side(const at::Tensor& matrix) {
  return matrix.stride(0) == 1 || matrix.stride(1) == 1 || matrix.size(0) <= 1 || matrix.size(1) <= 1;
}

}  // namespace

void bf16_product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool add, CpuLevel level) {
  constexpr auto where = "[bf16_product] ";
  check<ShapeError>(a.dim() == 2 && b.dim() == 2 && out.dim() == 2 && a.size(1) == b.size(0) &&
                        out.size(0) == a.size(0) && out.size(1) == b.size(1),
                    where, "expected (M, N) = (M, K) (K, N), got ", out.sizes(), " = ", a.sizes(), " ", b.sizes());
  for (const auto dtype : {out.scalar_type(), a.scalar_type(), b.scalar_type()})
    check<ShapeError>(dtype == at::kBFloat16 || dtype == at::kFloat, where, "expected bf16 or f32, got ", dtype);
  check<ShapeError>(has_contiguous_side(a) && has_contiguous_side(b) && (out.stride(1) == 1 || out.size(1) <= 1), where,
                    "an operand needs a stride of 1, the result contiguous rows");
  const TileKernels& kernels = kernels_of(level);
  if (out.numel() == 0) return;
  if (a.size(1) == 0) {
    if (!add) out.zero_();
    return;
  }
  // A left operand is copied where its depth is contiguous, a right one where it is not; the larger decides.
  Task task{.kernels = kernels, .left = rows_of(a), .right = rows_of(b.t()), .transposed = false, .add = add};
  const Vectors& larger = task.left.count > task.right.count ? task.left : task.right;
  const bool is_left = &larger == &task.left;
  if (is_left != larger.depth_contiguous) {
    std::swap(task.left, task.right);
    task.transposed = true;
  }
  kernels.begin(kTileSide);
  if (out.scalar_type() == at::kFloat) {
    run(task, out.mutable_data_ptr<float>(), out.stride(0));
  } else {
    run(task, reinterpret_cast<uint16_t*>(out.mutable_data_ptr<at::BFloat16>()), out.stride(0));
  }
  kernels.end();
}

void product_on_this_thread(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool in_bf16, bool add) {
  if (in_bf16 || a.scalar_type() == at::kBFloat16) return bf16_product(out, a, b, add);
  at::Tensor result = out;
  if (add) {
    result.addmm_(a, b);
  } else {
    a.size(1) == 0 ? result.zero_() : at::mm_out(result, a, b);
  }
}

}  // namespace polyphony::ops
