// SPDX-License-Identifier: Apache-2.0
// How a map is cut into tiles, and what a task keeps of one: its positions and their border after group norm and SiLU,
// as taps.h wants them.
#pragma once
#include <vector>

#include "core/ops/conv_map/conv_map.h"
#include "core/ops/conv_map/map_rows.h"

namespace polyphony::ops {

struct MapSizes {
  int64_t B, H, W, I, O;  // of the result
  int64_t border;         // positions around the map: 0 or 1
  int64_t blocks;         // of input channels
};

struct MapTile {
  int64_t b, y, x, rows, columns;
};

// Where a tile's positions lie in a block's memory: row after row, border included, then a tile of zeros that the last
// group of positions may read.
struct TileLayout {
  int64_t width;  // positions of a row
  int64_t block;  // words
};

// Fixed by the sizes alone.
std::vector<MapTile> tiles_of_map(const MapSizes& m);

TileLayout layout_of(const MapSizes& m, const MapTile& t);

// Writes m.blocks blocks of layout.block words.
void fill_tile(const MapKernels& kernels, const ConvMapInput& in, const MapSizes& m, const MapTile& t,
               uint16_t* filled);

}  // namespace polyphony::ops
