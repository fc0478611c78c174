// SPDX-License-Identifier: Apache-2.0
#include "modalities/image/decode.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <opencv2/imgcodecs.hpp>

#include "core/base/files.h"
#include "core/check.h"
#include "modalities/image/orientation.h"

namespace polyphony::image {

namespace {

using Bytes = std::span<const std::byte>;
using formats::ImageFormat;
using formats::ImageHeader;

cv::Mat decode_pixels(Bytes bytes) {
  cv::setNumThreads(1);
  const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8U,
                       const_cast<void*>(static_cast<const void*>(bytes.data())));
  cv::Mat pixels;
  try {
    // IMREAD_UNCHANGED keeps alpha and 16 bits, and does not turn the image by its EXIF.
    pixels = cv::imdecode(buffer, cv::IMREAD_UNCHANGED);
  } catch (const cv::Exception& e) {
    fail<DataError>("[image] expected pixels that decode, got: ", e.err);
  }
  check<DataError>(!pixels.empty(), "[image] expected pixels that decode, got damaged data");
  check<DataError>(pixels.depth() == CV_8U || pixels.depth() == CV_16U,
                   "[image] expected 8 or 16 bits a sample, got another sample type");
  return pixels;
}

uint8_t to_8_bits(uint8_t value) { return value; }
uint8_t to_8_bits(uint16_t value) { return static_cast<uint8_t>((value + 128) / 257); }

uint8_t over_white(uint8_t value, uint8_t alpha) {
  return static_cast<uint8_t>(255 - ((255 - value) * alpha + 127) / 255);
}

// libtiff hands out 8-bit RGBA already multiplied by its alpha.
uint8_t premultiplied_over_white(uint8_t value, uint8_t alpha) {
  return static_cast<uint8_t>(std::min(255, value + 255 - alpha));
}

using Blend = uint8_t(uint8_t value, uint8_t alpha);

// BGR(A) or grey of either depth -> RGB of 8 bits, written from (y0, x0) of out_YXC on.
template <class Sample>
void write_rgb(const cv::Mat& pixels, uint8_t* out_YXC, int64_t out_width, int64_t y0, int64_t x0, Blend* blend) {
  const int channels = pixels.channels();
  for (int y = 0; y < pixels.rows; ++y) {
    const Sample* in = pixels.ptr<Sample>(y);
    uint8_t* out = out_YXC + ((y0 + y) * out_width + x0) * 3;
    for (int x = 0; x < pixels.cols; ++x, in += channels, out += 3) {
      for (int c = 0; c < 3; ++c) out[c] = to_8_bits(in[channels < 3 ? 0 : 2 - c]);
      if (channels != 4 && channels != 2) continue;
      for (int c = 0; c < 3; ++c) out[c] = blend(out[c], to_8_bits(in[channels - 1]));
    }
  }
}

at::Tensor paste_on_white(const cv::Mat& pixels, const ImageHeader& header, int64_t y0, int64_t x0) {
  check<DataError>(y0 + pixels.rows <= header.height && x0 + pixels.cols <= header.width, "[image] expected ",
                   header.width, " x ", header.height, " pixels as the header says, got ", pixels.cols, " x ",
                   pixels.rows);
  at::Tensor out_YXC = at::full({header.height, header.width, 3}, 255, at::kByte);
  const auto write = pixels.depth() == CV_8U ? &write_rgb<uint8_t> : &write_rgb<uint16_t>;
  const auto blend = header.format == ImageFormat::tiff ? &premultiplied_over_white : &over_white;
  write(pixels, out_YXC.data_ptr<uint8_t>(), header.width, y0, x0, blend);
  return out_YXC;
}

at::Tensor decode_still(const cv::Mat& pixels, const ImageHeader& header) {
  check<DataError>(pixels.rows == header.height && pixels.cols == header.width, "[image] expected ", header.width,
                   " x ", header.height, " pixels as the header says, got ", pixels.cols, " x ", pixels.rows);
  return paste_on_white(pixels, header, 0, 0);
}

at::Tensor decode_format(Bytes bytes, const ImageHeader& header) {
  if (header.format == ImageFormat::png)
    return decode_still(decode_pixels(as_byte_span(formats::strip_png(bytes))), header);
  if (header.format == ImageFormat::tiff)
    return decode_still(decode_pixels(as_byte_span(formats::upright_tiff(bytes))), header);
  if (header.format == ImageFormat::webp && header.several_frames) {
    const auto frame = formats::first_webp_frame(bytes);
    return paste_on_white(decode_pixels(as_byte_span(frame.file)), header, frame.y, frame.x);
  }
  return decode_still(decode_pixels(bytes), header);
}

void add_notes(const ImageHeader& header, std::vector<std::string>* notes) {
  if (notes == nullptr) return;
  if (header.several_frames)
    notes->push_back(join(image_format_name(header.format), " with several frames or pages: the first one is used"));
  if (header.format == ImageFormat::png && header.channels == 1 && header.has_alpha)
    notes->push_back("grey PNG with a transparent colour: it is shown as opaque");
}

}  // namespace

at::Tensor decode_image(Bytes bytes, const DecodeLimits& limits, std::vector<std::string>* notes) {
  const size_t max_bytes = std::min<size_t>(limits.max_file_bytes, std::numeric_limits<int>::max());
  check<DataError>(bytes.size() <= max_bytes, "[image] expected at most ", max_bytes, " bytes, got ", bytes.size());
  const ImageHeader header = formats::parse_image_header(bytes, limits.size);
  at::Tensor image_YXC = apply_orientation(decode_format(bytes, header), header.orientation);
  add_notes(header, notes);
  return image_YXC;
}

at::Tensor load_image(const std::filesystem::path& path, const DecodeLimits& limits, std::vector<std::string>* notes) {
  check<DataError>(path.string().find("://") == std::string::npos,
                   "[image] expected a local file, got an address: ", printable(path.string()));
  const std::string bytes = read_file(path, limits.max_file_bytes);
  try {
    return decode_image(as_byte_span(bytes), limits, notes);
  } catch (const DataError& e) {
    fail<DataError>(e.what(), " (file ", printable(path.string()), ")");
  }
}

}  // namespace polyphony::image
