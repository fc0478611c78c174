// SPDX-License-Identifier: Apache-2.0
// PNG: IHDR, the walk over its chunks with their CRCs, and the copy without ancillary chunks (PNG specification, 3rd
// ed.).
#include <array>

#include "core/formats/image_bytes.h"

namespace polyphony::formats {

namespace {

constexpr size_t kSignatureBytes = 8;
constexpr size_t kChunkFrame = 12;  // length, type and CRC around the data

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t n = 0; n < 256; ++n) {
    uint32_t c = n;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    table[n] = c;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

uint32_t png_crc(Bytes bytes) {
  uint32_t c = 0xffffffffu;
  for (const std::byte b : bytes) c = kCrcTable[(c ^ std::to_integer<uint32_t>(b)) & 0xff] ^ (c >> 8);
  return c ^ 0xffffffffu;
}

struct Chunk {
  std::string_view type;
  Bytes data;
  Bytes whole;
  bool crc_ok = false;
};

ByteView png_view(Bytes bytes) { return {bytes, Endian::big, "[image] PNG:"}; }

Chunk chunk_at(const ByteView& view, size_t offset) {
  const size_t length = view.u32(offset);
  const Bytes whole = view.part(offset, length + kChunkFrame);
  return {.type = view.text(offset + 4, 4),
          .data = whole.subspan(8, length),
          .whole = whole,
          .crc_ok = png_crc(whole.subspan(4, length + 4)) == view.u32(offset + 8 + length)};
}

// Colour type -> samples a pixel and the depths it may have (PNG, table 11.1).
struct ColourType {
  uint32_t type;
  int channels;
  std::string_view depths;
};
constexpr std::array kColourTypes = {ColourType{0, 1, "\1\2\4\10\20"}, ColourType{2, 3, "\10\20"},
                                     ColourType{3, 3, "\1\2\4\10"}, ColourType{4, 2, "\10\20"},
                                     ColourType{6, 4, "\10\20"}};

ImageHeader read_ihdr(const ByteView& view) {
  check<DataError>(view.u32(kSignatureBytes) == 13 && view.text(kSignatureBytes + 4, 4) == "IHDR",
                   "[image] PNG: expected IHDR of 13 bytes as the first chunk");
  const size_t at = kSignatureBytes + 8;
  ImageHeader header{.format = ImageFormat::png, .width = view.u32(at), .height = view.u32(at + 4)};
  const uint32_t depth = view.u8(at + 8), type = view.u8(at + 9);
  for (const auto& colour : kColourTypes) {
    if (colour.type != type || colour.depths.find(static_cast<char>(depth)) == std::string_view::npos) continue;
    header.channels = colour.channels;
    header.bit_depth = static_cast<int>(depth);
    header.has_alpha = type == 4 || type == 6;
  }
  check<DataError>(header.channels != 0, "[image] PNG: expected a known colour type and depth, got type ", type,
                   " with depth ", depth);
  check<DataError>(view.u8(at + 10) == 0 && view.u8(at + 11) == 0 && view.u8(at + 12) <= 1,
                   "[image] PNG: expected compression 0, filter 0, interlace 0 or 1");
  return header;
}

}  // namespace

ImageHeader parse_png(Bytes bytes, const ImageLimits& limits) {
  const ByteView view = png_view(bytes);
  ImageHeader header = read_ihdr(view);
  check_image_size(header, limits);
  bool has_data = false;
  for (size_t offset = kSignatureBytes;;) {
    const Chunk chunk = chunk_at(view, offset);
    const bool critical = (chunk.type[0] & 0x20) == 0;
    check<DataError>(chunk.crc_ok || (!critical && chunk.type != "tRNS"), "[image] PNG: expected the right CRC in ",
                     chunk.type, " at offset ", offset);
    if (chunk.type == "IDAT") has_data = true;
    if (chunk.type == "acTL") header.several_frames = true;
    if (chunk.type == "eXIf" && chunk.crc_ok) header.orientation = exif_orientation(chunk.data);
    if (chunk.type == "tRNS") header.has_alpha = true;
    offset += chunk.whole.size();
    if (chunk.type == "IEND") break;
  }
  check<DataError>(has_data, "[image] PNG: expected pixel data (IDAT), got none");
  return header;
}

std::string strip_png(Bytes bytes) {
  const ByteView view = png_view(bytes);
  std::string out(view.text(0, kSignatureBytes));
  for (size_t offset = kSignatureBytes;;) {
    const Chunk chunk = chunk_at(view, offset);
    const bool critical = (chunk.type[0] & 0x20) == 0;
    if (critical || chunk.type == "tRNS")
      out.append(reinterpret_cast<const char*>(chunk.whole.data()), chunk.whole.size());
    offset += chunk.whole.size();
    if (chunk.type == "IEND") return out;
  }
}

}  // namespace polyphony::formats
