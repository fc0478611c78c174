// SPDX-License-Identifier: Apache-2.0
// Handcrafted image bytes, good and hostile: what the header parser accepts, and what it refuses and why.
#include "core/formats/image_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/error.h"

namespace polyphony::formats {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

ImageHeader parse(const std::string& file, const ImageLimits& limits = {}) {
  return parse_image_header(bytes_of(file), limits);
}

std::string refusal(const std::string& file, const ImageLimits& limits = {}) {
  try {
    parse(file, limits);
  } catch (const DataError& e) {
    return e.what();
  }
  return "accepted";
}

std::string big(uint32_t value, int width) {
  std::string out;
  for (int i = width - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string little(uint32_t value, int width) {
  const std::string text = big(value, width);
  return {text.rbegin(), text.rend()};
}

// A bitwise CRC of its own, so that the table in the parser has something to agree with.
uint32_t slow_crc(const std::string& text) {
  uint32_t c = ~0u;
  for (const char byte : text)
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t in = (static_cast<uint8_t>(byte) >> bit & 1) ^ (c & 1);
      c = (c >> 1) ^ (in != 0 ? 0xedb88320u : 0);
    }
  return ~c;
}

std::string chunk(const std::string& type, const std::string& data) {
  return big(static_cast<uint32_t>(data.size()), 4) + type + data + big(slow_crc(type + data), 4);
}

std::string png(uint32_t width, uint32_t height, const std::string& extra = "", int depth = 8, int colour = 2) {
  return "\x89PNG\r\n\x1a\n" +
         chunk("IHDR", big(width, 4) + big(height, 4) + big(static_cast<uint32_t>(depth), 1) +
                           big(static_cast<uint32_t>(colour), 1) + "\0\0\0"s) +
         extra + chunk("IDAT", "data") + chunk("IEND", "");
}

std::string exif_block(uint32_t orientation, uint32_t entries = 1) {
  return "MM\0*\0\0\0\x08"s + big(entries, 2) + big(0x0112, 2) + big(3, 2) + big(1, 4) + big(orientation, 2) + "\0\0"s +
         big(8, 4);  // the next directory is this one: a cycle
}

std::string jpeg(uint32_t width, uint32_t height, const std::string& extra = "", uint32_t sof = 0xc0,
                 uint32_t precision = 8) {
  return "\xff\xd8"s + extra + "\xff"s + big(sof, 1) + big(17, 2) + big(precision, 1) + big(height, 2) + big(width, 2) +
         "\3"s + "\1\x11\0\2\x11\0\3\x11\0"s + "\xff\xda"s + big(12, 2) + "\3\1\0\2\0\3\0\0\x3f\0"s +
         "scan\xff\0more\xff\xd0rest"s + "\xff\xd9"s;
}

std::string app1(const std::string& data) {
  return "\xff\xe1"s + big(static_cast<uint32_t>(data.size()) + 2, 2) + data;
}

std::string webp_lossless(uint32_t width, uint32_t height) {
  const std::string data = "\x2f"s + little((width - 1) | (height - 1) << 14, 4) + "x";
  const std::string body = "WEBPVP8L" + little(static_cast<uint32_t>(data.size()), 4) + data;
  return "RIFF" + little(static_cast<uint32_t>(body.size()), 4) + body;
}

std::string bmp(int32_t width, int32_t height, uint32_t depth = 24, size_t pixel_bytes = 1 << 12) {
  return "BM" + little(0, 4) + little(0, 4) + little(54, 4) + little(40, 4) + little(static_cast<uint32_t>(width), 4) +
         little(static_cast<uint32_t>(height), 4) + little(1, 2) + little(depth, 2) + std::string(24, '\0') +
         std::string(pixel_bytes, 'x');
}

using Tag = std::array<uint32_t, 3>;  // tag, type, value

std::string tiff(const std::vector<Tag>& more = {}, uint32_t strip_offset = 8, uint32_t width = 2) {
  std::vector<Tag> tags = {{256, 3, width},        {257, 3, 2}, {258, 3, 8}, {259, 3, 1}, {262, 3, 1},
                           {273, 4, strip_offset}, {277, 3, 1}, {279, 4, 4}};
  for (const auto& tag : more) {
    std::erase_if(tags, [&](const Tag& had) { return had[0] == tag[0]; });
    tags.push_back(tag);
  }
  std::string out = "II*\0"s + little(12, 4) + "pixl" + little(static_cast<uint32_t>(tags.size()), 2);
  for (const auto& [tag, type, value] : tags)
    out +=
        little(tag, 2) + little(type, 2) + little(1, 4) + little(value, type == 3 ? 2 : 4) + (type == 3 ? "\0\0"s : "");
  return out + little(0, 4);
}

TEST(ImageHeader, ReadsTheSizeOfEachFormat) {
  const struct {
    std::string file;
    ImageFormat format;
  } cases[] = {{png(30, 20), ImageFormat::png},
               {jpeg(30, 20), ImageFormat::jpeg},
               {webp_lossless(30, 20), ImageFormat::webp},
               {bmp(30, 20), ImageFormat::bmp},
               {bmp(30, -20), ImageFormat::bmp},
               {tiff({{256, 3, 30}, {257, 3, 20}}), ImageFormat::tiff}};
  for (const auto& test : cases) {
    const ImageHeader header = parse(test.file);
    EXPECT_EQ(header.format, test.format);
    EXPECT_EQ(header.width, 30) << image_format_name(test.format);
    EXPECT_EQ(header.height, 20) << image_format_name(test.format);
    EXPECT_EQ(header.orientation, 1);
    EXPECT_FALSE(header.several_frames);
  }
}

TEST(ImageHeader, RefusesOtherFormatsByName) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "0 bytes"},
      {"GIF89a....", "GIF"},
      {"8BPS\0\1"s, "PSD"},
      {"\x76\x2f\x31\x01....", "OpenEXR"},
      {"<svg xmlns=''>", "SVG"},
      {std::string(128, '\0') + "DICM", "DICOM"},
      {"\0\0\0\x1c"
       "ftypavif"s,
       "AVIF"},
      {"\0\0\0\x0cjP  \r\n"s, "JPEG 2000"},
      {"II+\0\x08\0\0\0"s, "BigTIFF"},
      {"RIFF\x20\0\0\0WAVEfmt "s, "RIFF of another kind"},
      {tiff({{34735, 3, 1}}), "GeoTIFF"},
      {"plain words", "unknown"},
  };
  for (const auto& [file, name] : cases) EXPECT_THAT(refusal(file), HasSubstr(name));
}

TEST(ImageHeader, AppliesTheLimitsToTheDeclaredSize) {
  EXPECT_THAT(refusal(png(100000, 100000)), HasSubstr("65500"));
  EXPECT_THAT(refusal(png(20000, 20000)), HasSubstr("64000000 pixels"));
  EXPECT_THAT(refusal(png(0, 5)), HasSubstr("at least 1 x 1"));
  EXPECT_THAT(refusal(png(0xffffffffu, 0xffffffffu)), HasSubstr("sides"));
  EXPECT_THAT(refusal(jpeg(65535, 65535)), HasSubstr("65500"));
  EXPECT_THAT(refusal(bmp(40000, -2147483647 - 1)), HasSubstr("sides"));
  EXPECT_THAT(refusal(webp_lossless(16383, 16383)), HasSubstr("pixels"));
  EXPECT_THAT(refusal(tiff({{256, 4, 0xffffffffu}})), HasSubstr("sides"));
  EXPECT_EQ(refusal(png(20000, 1)), "accepted");
  EXPECT_EQ(refusal(png(1, 20000)), "accepted");
  EXPECT_THAT(refusal(png(9, 9), {.max_pixels = 80}), HasSubstr("80 pixels"));
}

TEST(ImageHeader, RefusesEveryTruncation) {
  const std::string files[] = {png(30, 20), jpeg(30, 20, app1("Exif\0\0"s + exif_block(6))), webp_lossless(30, 20),
                               bmp(30, 20, 24, 92 * 20), tiff()};
  for (const auto& file : files) {
    ASSERT_EQ(refusal(file), "accepted");
    for (size_t length = 0; length < file.size(); ++length) {
      if (file.starts_with("II*") && length >= file.size() - 4) continue;  // only the link to a next page is missing
      EXPECT_NE(refusal(file.substr(0, length)), "accepted") << file.substr(0, 4) << " cut to " << length;
    }
  }
}

TEST(ImageHeader, RefusesAPngWithAWrongChecksum) {
  std::string file = png(30, 20);
  file[file.find("IDAT") + 5] ^= 1;
  EXPECT_THAT(refusal(file), HasSubstr("CRC"));
}

TEST(ImageHeader, RefusesVariantsWithoutADefinedConversion) {
  EXPECT_THAT(refusal(jpeg(4, 4, "", 0xc3)), HasSubstr("SOF3"));
  EXPECT_THAT(refusal(jpeg(4, 4, "", 0xc9)), HasSubstr("SOF9"));
  EXPECT_THAT(refusal(jpeg(4, 4, "", 0xc1, 12)), HasSubstr("8 bits"));
  EXPECT_THAT(refusal(tiff({{339, 3, 3}})), HasSubstr("floating point"));
  EXPECT_THAT(refusal(tiff({{262, 3, 5}})), HasSubstr("photometric"));
  EXPECT_THAT(refusal(tiff({{259, 3, 7}})), HasSubstr("compression"));
  EXPECT_THAT(refusal(tiff({{258, 3, 32}})), HasSubstr("depth"));
  EXPECT_THAT(refusal(tiff({{258, 3, 16}, {277, 3, 2}})), HasSubstr("alpha"));
  EXPECT_THAT(refusal(png(4, 4, "", 16, 3)), HasSubstr("colour type"));
  EXPECT_THAT(refusal(bmp(4, 4, 7)), HasSubstr("bits a pixel"));
}

TEST(ImageHeader, ReadsOrientationAndIgnoresBogusOnes) {
  const auto orientation = [](const std::string& block) {
    return parse(jpeg(4, 4, app1("Exif\0\0"s + block))).orientation;
  };
  for (uint32_t value = 1; value <= 8; ++value) EXPECT_EQ(orientation(exif_block(value)), static_cast<int>(value));
  EXPECT_EQ(orientation(exif_block(9)), 1);
  EXPECT_EQ(orientation(exif_block(0)), 1);
  EXPECT_EQ(orientation(exif_block(6, 60000)), 1) << "more entries than bytes";
  EXPECT_EQ(orientation("MM\0*\xff\xff\xff\xff"s), 1);
  EXPECT_EQ(orientation("words"), 1);
  EXPECT_EQ(parse(png(4, 4, chunk("eXIf", exif_block(3)))).orientation, 3);
}

TEST(ImageHeader, SeesThatThereAreMoreFrames) {
  EXPECT_TRUE(parse(png(4, 4, chunk("acTL", big(2, 4) + big(0, 4)))).several_frames);
  std::string pages = tiff();
  pages[pages.size() - 4] = 8;
  EXPECT_TRUE(parse(pages).several_frames);
}

TEST(ImageHeader, StripPngKeepsOnlyWhatPixelsNeed) {
  const std::string plain = png(4, 4);
  const std::string full = png(4, 4, chunk("zTXt", std::string(100000, 'z')) + chunk("iCCP", "profile"));
  EXPECT_EQ(strip_png(bytes_of(full)), plain);
  EXPECT_EQ(strip_png(bytes_of(plain)), plain);
}

TEST(ImageHeader, SurvivesEveryFlippedByteOfTheGoldenFiles) {
  const std::filesystem::path folder = POLYPHONY_SOURCE_DIR "/tests/golden/image/files";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    std::string file{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(refusal(file), "accepted") << entry.path();
    for (size_t i = 0; i < std::min<size_t>(file.size(), 600); ++i) {
      for (const char flip : {'\xff', '\x01', '\x80'}) {
        file[i] ^= flip;
        refusal(file);  // throws anything but DataError, or reads out of bounds under the sanitizer: the test fails
        file[i] ^= flip;
      }
    }
    ++files;
  }
  EXPECT_GT(files, 50);
}

}  // namespace
}  // namespace polyphony::formats
