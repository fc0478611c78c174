// SPDX-License-Identifier: Apache-2.0
// One task a tile of the map: it fills its positions and their border, then goes through the output channels by pairs
// of strips, whose weights stay in cache for all positions of the tile.
#include "core/ops/conv_map/conv_map_cpu.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/ops/conv_map/filled_tile.h"
#include "core/ops/conv_map/map_rows.h"
#include "core/ops/conv_map/taps.h"
#include "core/ops/parallel.h"
#include "core/ops/scratch.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kStepsAtOnce = 18;  // their right tiles stay in a level-1 cache for all positions

void finish_rows(const MapKernels& kernels, const RowsOut<uint16_t>& rows) { kernels.finish_bf16(rows); }
void finish_rows(const MapKernels& kernels, const RowsOut<float>& rows) { kernels.finish_f32(rows); }

template <class T>
T* data_of(const at::Tensor& x) {
  return static_cast<T*>(x.mutable_data_ptr());
}

// A group of up to 16 neighbouring positions of a row.
struct Group {
  int64_t row, column, positions;
};

std::vector<Group> groups_of(const MapTile& t) {
  std::vector<Group> groups;
  for (int64_t row = 0; row < t.rows; ++row)
    for (int64_t column = 0; column < t.columns; column += kTileSide)
      groups.push_back({.row = row, .column = column, .positions = std::min(kTileSide, t.columns - column)});
  if (groups.size() % 2 != 0) groups.push_back({.row = 0, .column = 0, .positions = 0});
  return groups;
}

struct Work {
  const ConvMapInput& in;
  const PackedConv& conv;
  const MapSizes& map;
  MultiplyTaps multiply;
  const MapKernels& map_kernels;
};

// Words from a group's first position to where each step's tile begins: blocks outside, places of the kernel inside.
std::vector<int64_t> offsets_of(const Work& work, const TileLayout& layout) {
  const int64_t K = work.conv.kernel;
  std::vector<int64_t> offsets;
  for (int64_t block = 0; block < work.map.blocks; ++block)
    for (int64_t y = 0; y < K; ++y)
      for (int64_t x = 0; x < K; ++x) offsets.push_back(block * layout.block + (y * layout.width + x) * kChannels);
  return offsets;
}

// Asks for part `part` of `parts` of the right tiles of two strips from `right` on, for a level-2 cache.
void prefetch(const uint16_t* right, int64_t right_step, int64_t steps, size_t part, size_t parts) {
  constexpr int64_t kLine = 32;  // words
  const auto lines = steps * kTileWords / kLine;
  const auto first = lines * static_cast<int64_t>(part) / static_cast<int64_t>(parts);
  const auto last = lines * static_cast<int64_t>(part + 1) / static_cast<int64_t>(parts);
  for (int64_t line = first; line < last; ++line) {
    __builtin_prefetch(right + line * kLine, 0, 2);
    __builtin_prefetch(right + right_step + line * kLine, 0, 2);
  }
}

// sum_f32 (B, tile, 2, O) of this tile: the sums of what was written and of its squares.
template <class Out>
void compute(const Work& work, const MapTile& t, Out* y, float* totals) {
  static thread_local Scratch<uint16_t> filled_memory;
  static thread_local Scratch<float> sum_memory;
  const MapSizes& m = work.map;
  const TileLayout layout = layout_of(m, t);
  const auto offsets = offsets_of(work, layout);
  const auto groups = groups_of(t);
  const int64_t steps = std::ssize(offsets);
  uint16_t* filled = filled_memory.of(m.blocks * layout.block);
  float* sums = sum_memory.of(std::ssize(groups) * 2 * kSumWords);
  fill_tile(work.map_kernels, work.in, m, t, filled);
  const auto* tiles = data_of<const uint16_t>(work.conv.tiles);
  const Out* residual = work.in.residual_BHWO.defined() ? data_of<const Out>(work.in.residual_BHWO) : nullptr;
  for (int64_t first = 0; first < m.O; first += kChannels) {
    const uint16_t* right = tiles + first / kChannels * 2 * steps * kTileWords;
    for (int64_t step = 0; step < steps; step += kStepsAtOnce) {
      // The weights to come: of this pair of strips, or the first ones of the next.
      const bool more = step + kStepsAtOnce < steps, last = !more && first + kChannels >= m.O;
      const uint16_t* next = more ? right + (step + kStepsAtOnce) * kTileWords : right + 2 * steps * kTileWords;
      const int64_t next_steps = last ? 0 : std::min(kStepsAtOnce, more ? steps - step - kStepsAtOnce : steps);
      for (size_t g = 0; g < groups.size(); g += 2) {
        const auto left = [&](const Group& group) {
          return filled + (group.row * layout.width + group.column) * kChannels;
        };
        work.multiply({.left = {left(groups[g]), left(groups[g + 1])},
                       .offset = offsets.data() + step,
                       .right = right + step * kTileWords,
                       .right_step = steps * kTileWords,
                       .depth = std::min(kStepsAtOnce, steps - step)},
                      sums + static_cast<int64_t>(g) * 2 * kSumWords, step > 0);
        prefetch(next, steps * kTileWords, next_steps, g / 2, groups.size() / 2);
      }
    }
    const int64_t channels = std::min(kChannels, m.O - first);
    float bias[kChannels] = {}, total[kChannels] = {}, squares[kChannels] = {};
    std::copy_n(work.conv.bias_O.const_data_ptr<float>() + first, channels, bias);
    for (size_t g = 0; g < groups.size(); ++g) {
      const int64_t place = ((t.b * m.H + t.y + groups[g].row) * m.W + t.x + groups[g].column) * m.O + first;
      finish_rows(work.map_kernels, RowsOut<Out>{.sum = sums + static_cast<int64_t>(g) * 2 * kSumWords,
                                                 .bias = bias,
                                                 .residual = residual ? residual + place : nullptr,
                                                 .out = y + place,
                                                 .positions = groups[g].positions,
                                                 .channels = channels,
                                                 .stride = m.O,
                                                 .total = total,
                                                 .squares = squares});
    }
    std::copy_n(total, channels, totals + first);
    std::copy_n(squares, channels, totals + m.O + first);
  }
}

}  // namespace

at::Tensor conv_map_cpu(const ConvMapInput& in, const PackedConv& conv, CpuLevel level, const at::Tensor& y_BHWO) {
  const MapSizes map{.B = y_BHWO.size(0),
                     .H = y_BHWO.size(1),
                     .W = y_BHWO.size(2),
                     .I = conv.in_channels,
                     .O = conv.out_channels,
                     .border = conv.kernel / 2,
                     .blocks = tiles_of(conv.in_channels, kChannels)};
  at::Tensor sums_B2O = at::zeros({map.B, 2, map.O}, at::kDouble);
  if (y_BHWO.numel() == 0) return sums_B2O;
  const Work work{
      .in = in, .conv = conv, .map = map, .multiply = multiply_taps_of(level), .map_kernels = map_kernels_of(level)};
  const TileKernels& kernels = kernels_of(level);
  const auto tiles = tiles_of_map(map);
  const at::Tensor totals_N2O = at::empty({std::ssize(tiles), 2, map.O}, at::kFloat);
  for_each_task(std::ssize(tiles), [&](int64_t i) {
    float* totals = totals_N2O.mutable_data_ptr<float>() + i * 2 * map.O;
    kernels.begin(kTileSide);
    if (in.f32_result) {
      compute(work, tiles[static_cast<size_t>(i)], data_of<float>(y_BHWO), totals);
    } else {
      compute(work, tiles[static_cast<size_t>(i)], data_of<uint16_t>(y_BHWO), totals);
    }
    kernels.end();
  });
  return totals_N2O.view({map.B, -1, 2, map.O}).to(at::kDouble).sum(1);
}

}  // namespace polyphony::ops
