// SPDX-License-Identifier: Apache-2.0
// Which parser reads which bytes: the allow-list by magic, and the formats that are refused by name.
#include "core/formats/image_header.h"

#include <array>

#include "core/formats/image_bytes.h"

namespace polyphony::formats {

namespace {

using namespace std::string_view_literals;

struct Reader {
  std::string_view magic;
  ImageHeader (*parse)(Bytes, const ImageLimits&);
};
constexpr std::array kReaders = {
    Reader{"\x89PNG\r\n\x1a\n"sv, &parse_png},
    Reader{"\xff\xd8\xff"sv, &parse_jpeg},
    Reader{"RIFF"sv, &parse_webp},
    Reader{"BM"sv, &parse_bmp},
    Reader{"II*\0"sv, &parse_tiff},
    Reader{"MM\0*"sv, &parse_tiff},
};

struct Refused {
  size_t offset;
  std::string_view magic;
  std::string_view name;
};
constexpr std::array kRefused = {
    Refused{0, "GIF8"sv, "GIF"},
    Refused{0, "8BPS"sv, "PSD"},
    Refused{0, "\x76\x2f\x31\x01"sv, "OpenEXR"},
    Refused{0, "<svg"sv, "SVG"},
    Refused{0, "<?xml"sv, "XML or SVG"},
    Refused{0, "#?"sv, "Radiance HDR"},
    Refused{0, "\0\0\0\x0cjP  "sv, "JPEG 2000"},
    Refused{0, "\xff\x4f\xff\x51"sv, "JPEG 2000"},
    Refused{0, "\xff\x0a"sv, "JPEG XL"},
    Refused{0, "II+\0"sv, "BigTIFF"},
    Refused{0, "MM\0+"sv, "BigTIFF"},
    Refused{0, "%PDF"sv, "PDF"},
    Refused{0, "qoif"sv, "QOI"},
    Refused{0, "DDS "sv, "DDS"},
    Refused{0, "\0\0\1\0"sv, "ICO"},
    Refused{4, "ftyp"sv, "HEIC or AVIF"},
    Refused{128, "DICM"sv, "DICOM"},
};

bool matches(std::string_view file, size_t offset, std::string_view magic) {
  return file.size() >= offset + magic.size() && file.substr(offset, magic.size()) == magic;
}

}  // namespace

std::string_view image_format_name(ImageFormat format) {
  static constexpr std::array kNames = {"PNG"sv, "JPEG"sv, "WebP"sv, "BMP"sv, "TIFF"sv};
  return kNames[static_cast<size_t>(format)];
}

void check_image_size(const ImageHeader& header, const ImageLimits& limits) {
  const auto name = image_format_name(header.format);
  check<DataError>(header.width >= 1 && header.height >= 1, "[image] expected a ", name, " of at least 1 x 1, got ",
                   header.width, " x ", header.height);
  check<DataError>(header.width <= limits.max_side && header.height <= limits.max_side, "[image] expected ", name,
                   " sides up to ", limits.max_side, ", got ", header.width, " x ", header.height);
  check<DataError>(header.width <= limits.max_pixels / header.height, "[image] expected a ", name, " of at most ",
                   limits.max_pixels, " pixels, got ", header.width, " x ", header.height);
}

ImageHeader parse_image_header(Bytes bytes, const ImageLimits& limits) {
  check<DataError>(!bytes.empty(), "[image] expected PNG, JPEG, WebP, BMP or TIFF, got 0 bytes");
  const std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const auto& reader : kReaders)
    if (matches(file, 0, reader.magic)) return reader.parse(bytes, limits);
  for (const auto& refused : kRefused)
    check<DataError>(!matches(file, refused.offset, refused.magic),
                     "[image] expected PNG, JPEG, WebP, BMP or TIFF, got ", refused.name);
  fail<DataError>("[image] expected PNG, JPEG, WebP, BMP or TIFF, got bytes of an unknown format");
}

}  // namespace polyphony::formats
