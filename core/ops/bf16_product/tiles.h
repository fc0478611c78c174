// SPDX-License-Identifier: Apache-2.0
// How the operands of a bf16 product are packed, and the kernels of an instruction level on packed operands.
//
// A tile is 1 KiB, what one AMX register holds. A left tile is 16 rows of 32 values along the depth; a right tile is
// 16 pairs along the depth of 16 columns (pairs of a column lie together); a sum tile is 16 x 16 f32, by rows. A strip
// is 16 rows of a left operand, or 16 columns of a right one, over the whole depth: its tiles one after another.
#pragma once
#include <cstdint>

namespace polyphony {
enum class CpuLevel;
}

namespace polyphony::ops {

inline constexpr int64_t kTileSide = 16;
inline constexpr int64_t kTileDepth = 32;
inline constexpr int64_t kTileWords = kTileSide * kTileDepth;  // bf16 values of a left or right tile
inline constexpr int64_t kSumWords = kTileSide * kTileSide;    // f32 values of a sum tile

constexpr int64_t tiles_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Strips of so many vectors; the last may be one of zeros, since products take them in pairs.
constexpr int64_t even_strips(int64_t count) { return 2 * tiles_of(count, 2 * kTileSide); }

// Values on plain memory: bf16, or f32 that packing rounds. Vectors are what the product counts by: rows of a left
// operand, columns of a right one. Value k of vector i is number i * stride + k if the depth is contiguous, else number
// k * stride + i.
struct Vectors {
  const void* data;
  bool f32;
  int64_t count;
  int64_t depth;
  int64_t stride;
  bool depth_contiguous;
};

// Packs all vectors into strips of bf16; values beyond count or depth become 0.
using Pack = void (*)(const Vectors& from, uint16_t* strips);

// Values one after another, rounded as packing rounds them.
using Round = void (*)(const float* from, int64_t count, uint16_t* to);

// Two strips of each side, from the same place along the depth on.
struct StripPairs {
  const uint16_t* left;
  const uint16_t* right;
  int64_t left_step;  // words from a strip to the next
  int64_t right_step;
  int64_t right_stride;  // words from a tile to the next along the depth; left tiles of a strip are neighbours
  int64_t depth;         // tiles
  int64_t rows;          // of the left strips that count, at most 32; sums of others may be left as they are
  int64_t ahead;         // words from a right tile to what will be read soon and is worth fetching; 0: nothing is
};

// Where the sums of two by two tiles go: rows x columns of them, at most 32 x 32. Transposed: left vectors are columns.
template <class Out>
struct Place {
  Out* out;
  int64_t stride;
  int64_t rows;
  int64_t columns;
  bool transposed;
  bool add;  // to what is there
};

struct TileKernels {
  // Once before the products of a task and once after them, on its thread. All its products have `rows` rows where that
  // is below 16.
  void (*begin)(int64_t rows);
  void (*end)();
  // sum[2][2] = left[2] * right[2], added to what is there if `add`.
  void (*multiply)(const StripPairs& strips, float* sum, bool add);
  Pack pack_left;
  Pack pack_right;
  Round round;
  void (*store_f32)(const float* sum, const Place<float>& place);
  void (*store_bf16)(const float* sum, const Place<uint16_t>& place);
};

extern const TileKernels kPlainTiles;
#if defined(__x86_64__)
extern const TileKernels kAvx2Tiles;
extern const TileKernels kAvx512Tiles;
extern const TileKernels kAmxTiles;
#endif

// Throws ShapeError where this machine lacks the level.
const TileKernels& kernels_of(CpuLevel level);

}  // namespace polyphony::ops
