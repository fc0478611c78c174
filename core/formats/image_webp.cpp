// SPDX-License-Identifier: Apache-2.0
// WebP: the RIFF chunks of still and animated files (RFC 9649).
#include "core/formats/image_bytes.h"

namespace polyphony::formats {

namespace {

constexpr const char* kWhere = "[image] WebP:";
constexpr uint32_t kAnimationFlag = 0x02, kAlphaFlag = 0x10;
constexpr size_t kFrameHeaderBytes = 16;  // ANMF: position, size, duration, flags

struct Chunk {
  std::string_view type;
  Bytes data;
  Bytes whole;  // with the pad byte where there is one
};

Chunk chunk_at(const ByteView& view, size_t offset) {
  const size_t length = view.u32(offset + 4);
  const Bytes data = view.part(offset + 8, length);
  const size_t padded = length + (length & 1);
  return {.type = view.text(offset, 4),
          .data = data,
          .whole = view.part(offset, 8 + (view.holds(offset + 8, padded) ? padded : length))};
}

ByteView webp_view(Bytes bytes) { return {bytes, Endian::little, kWhere}; }

struct Bitstream {
  int64_t width = 0;
  int64_t height = 0;
  bool has_alpha = false;
};

Bitstream read_lossy(Bytes data) {
  const ByteView view = webp_view(data);
  check<DataError>((view.u8(0) & 1) == 0 && view.text(3, 3) == "\x9d\x01\x2a", kWhere, " expected a VP8 key frame");
  return {.width = view.u16(6) & 0x3fff, .height = view.u16(8) & 0x3fff};
}

Bitstream read_lossless(Bytes data) {
  const ByteView view = webp_view(data);
  check<DataError>(view.u8(0) == 0x2f, kWhere, " expected the VP8L signature");
  const uint32_t bits = view.u32(1);
  return {.width = (bits & 0x3fff) + 1, .height = (bits >> 14 & 0x3fff) + 1, .has_alpha = (bits >> 28 & 1) != 0};
}

// The bytes from the first chunk on, cut to what RIFF declares.
Bytes riff_body(Bytes bytes) {
  const ByteView view = webp_view(bytes);
  check<DataError>(view.text(8, 4) == "WEBP",
                   "[image] expected PNG, JPEG, WebP, BMP or TIFF, got RIFF of another kind");
  const size_t declared = view.u32(4);
  check<DataError>(declared >= 4, kWhere, " expected a RIFF size of at least 4, got ", declared);
  return view.part(12, declared - 4);
}

void append(std::string& out, Bytes bytes) { out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size()); }

void append_u24(std::string& out, uint32_t value) {
  for (int i = 0; i < 3; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

void append_u32(std::string& out, uint32_t value) {
  append_u24(out, value);
  out.push_back(static_cast<char>(value >> 24));
}

// Walks the image chunks of a still file's body or of one animation frame; finds one bitstream.
Bitstream read_still(Bytes body, ImageHeader& header) {
  const ByteView view = webp_view(body);
  Bitstream found;
  for (size_t offset = 0; offset + 8 <= body.size();) {
    const Chunk chunk = chunk_at(view, offset);
    if (chunk.type == "VP8 " && found.width == 0) found = read_lossy(chunk.data);
    if (chunk.type == "VP8L" && found.width == 0) found = read_lossless(chunk.data);
    if (chunk.type == "ALPH") header.has_alpha = true;
    if (chunk.type == "EXIF") header.orientation = exif_orientation(chunk.data);
    offset += chunk.whole.size();
  }
  check<DataError>(found.width > 0 && found.height > 0, kWhere, " expected pixel data (VP8 or VP8L), got none");
  header.has_alpha = header.has_alpha || found.has_alpha;
  return found;
}

Bytes first_frame_data(Bytes body) {
  const ByteView view = webp_view(body);
  for (size_t offset = 0; offset + 8 <= body.size();) {
    const Chunk chunk = chunk_at(view, offset);
    if (chunk.type == "ANMF") {
      check<DataError>(chunk.data.size() > kFrameHeaderBytes, kWhere, " expected pixels in the first frame");
      return chunk.data;
    }
    offset += chunk.whole.size();
  }
  fail<DataError>(kWhere, " expected a frame (ANMF) in an animation, got none");
}

void check_animation(Bytes body, ImageHeader& header) {
  const Bytes frame = first_frame_data(body);
  const ByteView view = webp_view(frame);
  const int64_t x = 2 * int64_t{view.u24(0)}, y = 2 * int64_t{view.u24(3)};
  const Bitstream pixels = read_still(frame.subspan(kFrameHeaderBytes), header);
  check<DataError>(x + pixels.width <= header.width && y + pixels.height <= header.height, kWhere,
                   " expected the first frame inside the canvas of ", header.width, " x ", header.height);
}

}  // namespace

ImageHeader parse_webp(Bytes bytes, const ImageLimits& limits) {
  const Bytes body = riff_body(bytes);
  const ByteView view = webp_view(body);
  ImageHeader header{.format = ImageFormat::webp, .channels = 3};
  const Chunk first = chunk_at(view, 0);
  if (first.type == "VP8X") {
    const ByteView extended = webp_view(first.data);
    header.several_frames = (extended.u8(0) & kAnimationFlag) != 0;
    header.has_alpha = (extended.u8(0) & kAlphaFlag) != 0;
    header.width = int64_t{extended.u24(4)} + 1;
    header.height = int64_t{extended.u24(7)} + 1;
    check_image_size(header, limits);
  }
  if (header.several_frames) {
    check_animation(body, header);
  } else {
    const Bitstream pixels = read_still(body, header);
    check<DataError>(first.type != "VP8X" || (pixels.width == header.width && pixels.height == header.height), kWhere,
                     " expected a canvas as large as the image, got ", header.width, " x ", header.height);
    header.width = pixels.width;
    header.height = pixels.height;
    check_image_size(header, limits);
  }
  header.channels = header.has_alpha ? 4 : 3;
  return header;
}

WebpFrame first_webp_frame(Bytes bytes) {
  const Bytes frame = first_frame_data(riff_body(bytes));
  const ByteView view = webp_view(frame);
  const Bytes chunks = frame.subspan(kFrameHeaderBytes);
  ImageHeader header;
  const Bitstream pixels = read_still(chunks, header);
  std::string body = "WEBPVP8X";
  append_u32(body, 10);
  append_u32(body, header.has_alpha ? kAlphaFlag : 0);
  append_u24(body, static_cast<uint32_t>(pixels.width - 1));
  append_u24(body, static_cast<uint32_t>(pixels.height - 1));
  append(body, chunks);
  WebpFrame out{.file = "RIFF", .x = 2 * int64_t{view.u24(0)}, .y = 2 * int64_t{view.u24(3)}};
  append_u32(out.file, static_cast<uint32_t>(body.size()));
  out.file += body;
  return out;
}

}  // namespace polyphony::formats
