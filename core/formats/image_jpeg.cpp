// SPDX-License-Identifier: Apache-2.0
// JPEG: the walk over its segments and scans from SOI to EOI (ITU-T T.81, annex B).
#include "core/formats/image_bytes.h"

namespace polyphony::formats {

namespace {

constexpr const char* kWhere = "[image] JPEG:";

enum Marker : uint32_t {
  kSof0 = 0xc0,
  kDht = 0xc4,
  kJpg = 0xc8,
  kDac = 0xcc,
  kRst0 = 0xd0,
  kRst7 = 0xd7,
  kEoi = 0xd9,
  kSos = 0xda,
  kApp1 = 0xe1,
  kTem = 0x01
};

bool is_frame_header(uint32_t marker) {
  return marker >= kSof0 && marker <= 0xcf && marker != kDht && marker != kJpg && marker != kDac;
}

void read_frame_header(const ByteView& view, size_t data, ImageHeader& header, uint32_t marker) {
  check<DataError>(marker <= 0xc2, kWhere, " expected a baseline or progressive Huffman frame, got SOF",
                   marker - kSof0);
  const uint32_t precision = view.u8(data);
  check<DataError>(precision == 8, kWhere, " expected 8 bits a sample, got ", precision);
  header.height = view.u16(data + 1);
  header.width = view.u16(data + 3);
  header.channels = static_cast<int>(view.u8(data + 5));
  check<DataError>(header.channels == 1 || header.channels == 3 || header.channels == 4, kWhere,
                   " expected 1, 3 or 4 components, got ", header.channels);
}

// The offset of the next marker after entropy-coded data: stuffed zeros and restart markers belong to the data.
size_t skip_entropy_data(const ByteView& view, size_t offset) {
  for (;; ++offset) {
    if (view.u8(offset) != 0xff) continue;
    const uint32_t next = view.u8(offset + 1);
    if (next != 0x00 && next != 0xff && !(next >= kRst0 && next <= kRst7)) return offset;
  }
}

}  // namespace

ImageHeader parse_jpeg(Bytes bytes, const ImageLimits& limits) {
  const ByteView view(bytes, Endian::big, kWhere);
  ImageHeader header{.format = ImageFormat::jpeg};
  bool has_scan = false;
  for (size_t offset = 2;;) {
    check<DataError>(view.u8(offset) == 0xff, kWhere, " expected a marker at offset ", offset);
    const uint32_t marker = view.u8(offset + 1);
    if (marker == 0xff) {  // a fill byte before the marker
      ++offset;
      continue;
    }
    offset += 2;
    if (marker == kEoi) break;
    if (marker == kTem || (marker >= kRst0 && marker <= kRst7)) continue;
    const size_t length = view.u16(offset);
    check<DataError>(length >= 2, kWhere, " expected a segment of at least 2 bytes, got ", length);
    const Bytes data = view.part(offset, length).subspan(2);
    if (is_frame_header(marker)) {
      check<DataError>(header.width == 0, kWhere, " expected one frame, got two");
      read_frame_header(ByteView(data, Endian::big, kWhere), 0, header, marker);
      check_image_size(header, limits);
    }
    if (marker == kApp1 && view.holds(offset + 2, 6) && view.text(offset + 2, 4) == "Exif")
      header.orientation = exif_orientation(data);
    offset += length;
    if (marker == kSos) {
      check<DataError>(header.width != 0, kWhere, " expected a frame header before the first scan");
      has_scan = true;
      offset = skip_entropy_data(view, offset);
    }
  }
  check<DataError>(has_scan, kWhere, " expected pixel data before the end, got none");
  return header;
}

}  // namespace polyphony::formats
