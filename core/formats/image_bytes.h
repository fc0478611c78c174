// SPDX-License-Identifier: Apache-2.0
// Bounds-checked reading of integers from image bytes, and the parsers behind image_header.h. Internal to core/formats.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "core/formats/image_header.h"

namespace polyphony::formats {

using Bytes = std::span<const std::byte>;

enum class Endian : uint8_t { little, big };

// A view whose reads throw DataError instead of leaving the bytes.
class ByteView {
 public:
  ByteView(Bytes bytes, Endian endian, const char* where) : bytes_(bytes), endian_(endian), where_(where) {}

  size_t size() const { return bytes_.size(); }
  bool holds(size_t offset, size_t length) const { return offset <= size() && length <= size() - offset; }
  Bytes part(size_t offset, size_t length) const {
    check<DataError>(holds(offset, length), where_, " expected ", length, " bytes at offset ", offset,
                     ", got a file truncated at ", size());
    return bytes_.subspan(offset, length);
  }
  uint32_t integer(size_t offset, size_t width) const {
    const Bytes raw = part(offset, width);
    uint32_t value = 0;
    for (size_t i = 0; i < width; ++i)
      value = value << 8 | std::to_integer<uint32_t>(raw[endian_ == Endian::big ? i : width - 1 - i]);
    return value;
  }
  uint32_t u8(size_t offset) const { return integer(offset, 1); }
  uint32_t u16(size_t offset) const { return integer(offset, 2); }
  uint32_t u24(size_t offset) const { return integer(offset, 3); }
  uint32_t u32(size_t offset) const { return integer(offset, 4); }
  std::string_view text(size_t offset, size_t length) const {
    const Bytes raw = part(offset, length);
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }
  const char* where() const { return where_; }

 private:
  Bytes bytes_;
  Endian endian_;
  const char* where_;
};

// The first directory (IFD0) of a TIFF or EXIF block. Later directories are not followed, so a cycle cannot hang it.
class TiffDirectory {
 public:
  // Nothing if the block is malformed: EXIF readers ignore it, the TIFF reader refuses the file.
  static std::optional<TiffDirectory> read(Bytes bytes);

  struct Entry {
    uint32_t tag = 0;
    uint32_t type = 0;
    uint32_t count = 0;
    size_t value_offset = 0;  // where the values lie in the block
  };
  const Entry* find(uint32_t tag) const;
  // Value `index` of an integer entry (BYTE, SHORT, LONG); nothing if it is absent, of another type or out of bounds.
  std::optional<uint32_t> value(uint32_t tag, uint32_t index = 0) const;
  bool has_next() const { return has_next_; }

 private:
  explicit TiffDirectory(ByteView view) : view_(view) {}
  ByteView view_;
  std::vector<Entry> entries_;
  bool has_next_ = false;
};

inline constexpr uint32_t kOrientationTag = 0x0112;

// EXIF orientation of a TIFF-shaped block, with or without the "Exif\0\0" before it; 1 where absent or bogus.
int exif_orientation(Bytes block);

void check_image_size(const ImageHeader& header, const ImageLimits& limits);

// Each reads one format: header, limits, then the walk to the end of the container.
ImageHeader parse_png(Bytes bytes, const ImageLimits& limits);
ImageHeader parse_jpeg(Bytes bytes, const ImageLimits& limits);
ImageHeader parse_webp(Bytes bytes, const ImageLimits& limits);
ImageHeader parse_bmp(Bytes bytes, const ImageLimits& limits);
ImageHeader parse_tiff(Bytes bytes, const ImageLimits& limits);

}  // namespace polyphony::formats
