// SPDX-License-Identifier: Apache-2.0
#include "core/ops/conv_map/filled_tile.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/ops/bf16_product/tiles.h"

namespace polyphony::ops {
namespace {

// A tile's filled positions and the sums of a pair of strips share a level-2 cache of 2 MiB; the more positions, the
// less often weights are read.
constexpr int64_t kColumns = 64;
constexpr int64_t kTilePositions = 1024;
constexpr int64_t kTileBytes = 5 << 18;
constexpr int64_t kMinRows = 4;
constexpr int64_t kTilesAlong = 2;  // of a map, so that there is work for more than one thread

// What each block's panel of positions is multiplied by and what is added.
struct Norms {
  static constexpr int64_t kPanel = kPositions * kChannels;
  std::vector<float> scale, shift;  // block after block; empty: none

  Norms(const ConvMapInput& in, const MapSizes& m, int64_t b) {
    if (!in.scale_BI.defined()) return;
    for (const auto& [rows_BI, panels] : {std::pair(&in.scale_BI, &scale), std::pair(&in.shift_BI, &shift)}) {
      panels->resize(static_cast<size_t>(m.blocks * kPanel));
      const float* row = rows_BI->const_data_ptr<float>() + b * m.I;
      for (int64_t c = 0; c < m.I; ++c)
        for (int64_t p = 0; p < kPositions; ++p)
          (*panels)[static_cast<size_t>(c / kChannels * kPanel + p * kChannels + c % kChannels)] = row[c];
    }
  }
  static const float* panel(const std::vector<float>& panels, int64_t block) {
    return panels.empty() ? nullptr : panels.data() + block * kPanel;
  }
};

void fill_positions(const MapKernels& kernels, const RowIn<uint16_t>& in, uint16_t* to) { kernels.fill_bf16(in, to); }
void fill_positions(const MapKernels& kernels, const RowIn<float>& in, uint16_t* to) { kernels.fill_f32(in, to); }

// Positions [first, last) of a row of the map, all channels.
template <class In>
void fill_row(const MapKernels& kernels, const ConvMapInput& in, const MapSizes& m, const Norms& norms, const In* row,
              int64_t first, int64_t last, const TileLayout& layout, uint16_t* to) {
  for (; first < last; first += kPositions, to += kPositions * kChannels)
    for (int64_t block = 0; block < m.blocks; ++block)
      fill_positions(kernels,
                     RowIn<In>{.x = row + block * kChannels,
                               .channels = std::min(kChannels, m.I - block * kChannels),
                               .stride = m.I,
                               .first = first,
                               .positions = std::min(kPositions, last - first),
                               .doubled = in.doubled,
                               .scale = Norms::panel(norms.scale, block),
                               .shift = Norms::panel(norms.shift, block),
                               .silu = in.silu},
                     to + block * layout.block);
}

template <class In>
void fill(const MapKernels& kernels, const ConvMapInput& in, const MapSizes& m, const MapTile& t,
          const TileLayout& layout, uint16_t* filled) {
  const Norms norms(in, m, t.b);
  const int64_t times = in.doubled ? 2 : 1, row_words = m.W / times * m.I;
  const In* x = static_cast<const In*>(in.x_BHWI.const_data_ptr()) + t.b * (m.H / times) * row_words;
  const int64_t first = t.x - m.border, last = t.x + t.columns + m.border;
  const auto clear = [&](uint16_t* to, int64_t positions) {
    for (int64_t block = 0; block < m.blocks; ++block)
      std::fill_n(to + block * layout.block, positions * kChannels, uint16_t{0});
  };
  uint16_t* to = filled;
  for (int64_t y = t.y - m.border; y < t.y + t.rows + m.border; ++y, to += layout.width * kChannels) {
    if (y < 0 || y >= m.H) {
      clear(to, layout.width);
      continue;
    }
    const int64_t left = std::max<int64_t>(0, first), right = std::min(m.W, last);
    clear(to, left - first);
    clear(to + (right - first) * kChannels, last - right);
    fill_row(kernels, in, m, norms, x + y / times * row_words, left, right, layout, to + (left - first) * kChannels);
  }
  clear(to, kTileSide);
}

}  // namespace

std::vector<MapTile> tiles_of_map(const MapSizes& m) {
  const int64_t columns = std::min(m.W, kColumns);
  const int64_t row_bytes = (columns + 2 * m.border) * m.blocks * kChannels * 2;
  const int64_t most = std::max(kMinRows, std::min({kTileBytes / row_bytes - 2 * m.border, kTilePositions / columns,
                                                    (m.H + kTilesAlong - 1) / kTilesAlong}));
  const int64_t bands = (m.H + most - 1) / most;
  const int64_t rows = (m.H + bands - 1) / bands;
  std::vector<MapTile> tiles;
  for (int64_t b = 0; b < m.B; ++b)
    for (int64_t y = 0; y < m.H; y += rows)
      for (int64_t x = 0; x < m.W; x += columns)
        tiles.push_back(
            {.b = b, .y = y, .x = x, .rows = std::min(rows, m.H - y), .columns = std::min(columns, m.W - x)});
  return tiles;
}

TileLayout layout_of(const MapSizes& m, const MapTile& t) {
  const int64_t width = t.columns + 2 * m.border;
  return {.width = width, .block = ((t.rows + 2 * m.border) * width + kTileSide) * kChannels};
}

void fill_tile(const MapKernels& kernels, const ConvMapInput& in, const MapSizes& m, const MapTile& t,
               uint16_t* filled) {
  in.x_BHWI.scalar_type() == at::kFloat ? fill<float>(kernels, in, m, t, layout_of(m, t), filled)
                                        : fill<uint16_t>(kernels, in, m, t, layout_of(m, t), filled);
}

}  // namespace polyphony::ops
