// SPDX-License-Identifier: Apache-2.0
// TIFF: the first page's directory and the bounds of its strips or tiles (TIFF 6.0).
#include <algorithm>
#include <array>

#include "core/formats/image_bytes.h"

namespace polyphony::formats {

namespace {

constexpr const char* kWhere = "[image] TIFF:";

enum Tag : uint32_t {
  kWidth = 256,
  kHeight = 257,
  kBitsPerSample = 258,
  kCompression = 259,
  kPhotometric = 262,
  kStripOffsets = 273,
  kSamplesPerPixel = 277,
  kStripBytes = 279,
  kTileWidth = 322,
  kTileHeight = 323,
  kTileOffsets = 324,
  kTileBytes = 325,
  kExtraSamples = 338,
  kSampleFormat = 339,
  kGeoPixelScale = 33550,
  kGeoKeys = 34735,
};

constexpr std::array<uint32_t, 5> kCompressions = {1, 5, 8, 32773, 32946};  // none, LZW, deflate, PackBits, deflate
constexpr std::array<uint32_t, 4> kPhotometrics = {0, 1, 2, 3};             // white or black is zero, RGB, palette
constexpr std::array<uint32_t, 3> kDepths = {1, 8, 16};

template <size_t N>
void check_one_of(const std::array<uint32_t, N>& allowed, uint32_t value, const char* field) {
  check<DataError>(std::find(allowed.begin(), allowed.end(), value) != allowed.end(), kWhere, " expected a supported ",
                   field, ", got ", value);
}

void check_pieces(const TiffDirectory& page, size_t file_bytes, Tag offsets, Tag sizes) {
  const auto* entry = page.find(offsets);
  for (uint32_t i = 0; i < entry->count; ++i) {
    const auto offset = page.value(offsets, i), size = page.value(sizes, i);
    check<DataError>(offset && size && uint64_t{*offset} + *size <= file_bytes, kWhere, " expected strip or tile ", i,
                     " inside the file, got a truncated file");
  }
}

}  // namespace

ImageHeader parse_tiff(Bytes bytes, const ImageLimits& limits) {
  const auto page = TiffDirectory::read(bytes);
  check<DataError>(page.has_value(), kWhere, " expected a directory inside the file, got a malformed or truncated one");
  ImageHeader header{.format = ImageFormat::tiff,
                     .width = page->value(kWidth).value_or(0),
                     .height = page->value(kHeight).value_or(0)};
  check_image_size(header, limits);
  check<DataError>(page->find(kGeoPixelScale) == nullptr && page->find(kGeoKeys) == nullptr,
                   "[image] expected PNG, JPEG, WebP, BMP or TIFF, got GeoTIFF");

  header.channels = static_cast<int>(std::min<uint32_t>(page->value(kSamplesPerPixel).value_or(1), 5));
  check<DataError>(header.channels >= 1 && header.channels <= 4, kWhere, " expected 1 to 4 samples a pixel, got more");
  for (int c = 0; c < header.channels; ++c) {
    const uint32_t format = page->value(kSampleFormat, static_cast<uint32_t>(c)).value_or(1);
    check<DataError>(format == 1, kWhere, " expected unsigned integer samples, got ",
                     format == 3 ? "floating point" : "sample format ", format == 3 ? "" : std::to_string(format));
  }
  const uint32_t depth = page->value(kBitsPerSample).value_or(1);
  for (int c = 1; c < header.channels; ++c)
    check<DataError>(page->value(kBitsPerSample, static_cast<uint32_t>(c)).value_or(depth) == depth, kWhere,
                     " expected the same depth in all samples");
  check_one_of(kDepths, depth, "depth");
  header.bit_depth = static_cast<int>(depth);
  check_one_of(kCompressions, page->value(kCompression).value_or(1), "compression");
  const uint32_t photometric = page->value(kPhotometric).value_or(1);
  check_one_of(kPhotometrics, photometric, "photometric interpretation");
  header.has_alpha = header.channels == 2 || header.channels == 4;
  check<DataError>(!header.has_alpha || depth == 8, kWhere, " expected 8 bits a sample beside an alpha channel, got ",
                   depth);
  if (photometric == 3) header.channels = 3;

  const bool tiled = page->find(kTileOffsets) != nullptr;
  check<DataError>(tiled || page->find(kStripOffsets) != nullptr, kWhere, " expected strips or tiles, got none");
  if (tiled) {
    const uint64_t tile_pixels = uint64_t{page->value(kTileWidth).value_or(0)} * page->value(kTileHeight).value_or(0);
    check<DataError>(tile_pixels >= 1 && tile_pixels <= static_cast<uint64_t>(limits.max_pixels), kWhere,
                     " expected tiles of at most ", limits.max_pixels, " pixels, got ", tile_pixels);
  }
  check_pieces(*page, bytes.size(), tiled ? kTileOffsets : kStripOffsets, tiled ? kTileBytes : kStripBytes);
  const uint32_t orientation = page->value(kOrientationTag).value_or(1);
  header.orientation = orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : 1;
  header.several_frames = page->has_next();
  return header;
}

std::string upright_tiff(Bytes bytes) {
  std::string out(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto page = TiffDirectory::read(bytes);
  const auto* entry = page ? page->find(kOrientationTag) : nullptr;
  if (entry == nullptr || !page->value(kOrientationTag)) return out;
  const size_t width = entry->type == 3 ? 2 : entry->type == 4 ? 4 : 1;
  const bool little = out[0] == 'I';
  for (size_t i = 0; i < width; ++i) out[entry->value_offset + i] = i == (little ? 0 : width - 1) ? '\1' : '\0';
  return out;
}

}  // namespace polyphony::formats
