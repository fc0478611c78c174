// SPDX-License-Identifier: Apache-2.0
// Size, kind and completeness of PNG, JPEG, WebP, BMP and TIFF bytes, read before any codec sees them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace polyphony::formats {

enum class ImageFormat : uint8_t { png, jpeg, webp, bmp, tiff };

std::string_view image_format_name(ImageFormat format);

struct ImageLimits {
  int64_t max_pixels = 64'000'000;  // width times height
  int64_t max_side = 65'500;        // either side
};

struct ImageHeader {
  ImageFormat format = ImageFormat::png;
  int64_t width = 0;  // pixels as stored, before orientation
  int64_t height = 0;
  int channels = 0;             // samples a pixel as stored; a palette counts as 3 (4 with transparency)
  int bit_depth = 8;            // bits a sample as stored
  bool has_alpha = false;       // an alpha channel, a transparent palette entry or a colour key
  int orientation = 1;          // EXIF 1..8; anything else in the file counts as 1
  bool several_frames = false;  // animated, or more than one page
};

// Recognises the format by its first bytes (never by a file name), reads its header, applies the limits, and walks the
// container to its end. Works in time linear in the bytes and allocates nothing that depends on a declared size.
// Throws DataError for an unknown or refused format (named), a malformed or truncated file, a size over the limits, and
// for variants with no defined conversion: float samples, 12-bit or lossless JPEG, GeoTIFF, CMYK TIFF, TIFF of
// 16 bits with alpha.
ImageHeader parse_image_header(std::span<const std::byte> bytes, const ImageLimits& limits = {});

// A PNG with only the chunks that pixels need (IHDR, PLTE, tRNS, IDAT, IEND), so that no text or colour profile is ever
// inflated; of an APNG it keeps the default image. Expects bytes that parse_image_header accepted.
std::string strip_png(std::span<const std::byte> bytes);

// A TIFF with its orientation set to 1, for decoders that would apply it themselves.
std::string upright_tiff(std::span<const std::byte> bytes);

// The first frame of an animated WebP as a still WebP, and where it lies on the canvas (pixels).
struct WebpFrame {
  std::string file;
  int64_t x = 0;
  int64_t y = 0;
};
WebpFrame first_webp_frame(std::span<const std::byte> bytes);

}  // namespace polyphony::formats
