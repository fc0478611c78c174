// SPDX-License-Identifier: Apache-2.0
// BMP: the core and information headers (Microsoft, "Bitmap Storage").
#include <array>

#include "core/formats/image_bytes.h"

namespace polyphony::formats {

namespace {

constexpr const char* kWhere = "[image] BMP:";
constexpr size_t kCoreHeaderBytes = 12, kInfoHeaderBytes = 40;

// Compression -> the depths that it may have: 0 none, 1 RLE8, 2 RLE4, 3 bit fields.
constexpr std::array<std::array<uint32_t, 6>, 4> kDepths = {{{1, 4, 8, 16, 24, 32}, {8}, {4}, {16, 32}}};

}  // namespace

ImageHeader parse_bmp(Bytes bytes, const ImageLimits& limits) {
  const ByteView view(bytes, Endian::little, kWhere);
  const size_t pixels_at = view.u32(10), header_bytes = view.u32(14);
  ImageHeader header{.format = ImageFormat::bmp, .channels = 3};
  uint32_t depth = 0, compression = 0;
  if (header_bytes == kCoreHeaderBytes) {
    header.width = view.u16(18);
    header.height = view.u16(20);
    depth = view.u16(24);
  } else {
    check<DataError>(header_bytes >= kInfoHeaderBytes && header_bytes <= 256, kWhere,
                     " expected a header of 12 or 40 to 256 bytes, got ", header_bytes);
    header.width = static_cast<int32_t>(view.u32(18));
    const int64_t height = static_cast<int32_t>(view.u32(22));
    header.height = height < 0 ? -height : height;  // negative: rows from the top
    depth = view.u16(28);
    compression = view.u32(30);
  }
  check_image_size(header, limits);
  bool known = false;
  for (const uint32_t allowed : compression < kDepths.size() ? kDepths[compression] : kDepths[0])
    known = known || (compression < kDepths.size() && depth != 0 && allowed == depth);
  check<DataError>(known, kWhere, " expected a known compression and depth, got compression ", compression, " with ",
                   depth, " bits a pixel");
  const size_t stride = (static_cast<size_t>(header.width) * depth + 31) / 32 * 4;
  const bool run_length = compression == 1 || compression == 2;
  check<DataError>(pixels_at >= 14 + header_bytes, kWhere, " expected pixels after the header, got offset ", pixels_at);
  view.part(pixels_at, run_length ? 1 : stride * static_cast<size_t>(header.height));
  header.bit_depth = depth <= 8 ? static_cast<int>(depth) : 8;
  return header;
}

}  // namespace polyphony::formats
