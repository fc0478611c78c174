// SPDX-License-Identifier: Apache-2.0
#include "modalities/image/encode.h"

#include <ATen/ATen.h>

#include <opencv2/imgcodecs.hpp>

#include "core/base/files.h"
#include "core/check.h"

namespace polyphony::image {

namespace {

constexpr int kCompressionLevel = 6;  // part of the output's bytes: changing it changes every golden PNG

}  // namespace

std::string encode_png(const at::Tensor& image_YXC) {
  check<ShapeError>(image_YXC.defined() && image_YXC.dim() == 3 && image_YXC.scalar_type() == at::kByte &&
                        image_YXC.device().is_cpu() && image_YXC.numel() > 0 &&
                        (image_YXC.size(2) == 3 || image_YXC.size(2) == 1),
                    "[encode_png] expected a u8 CPU tensor (Y, X, 3) or (Y, X, 1), got ", image_YXC.toString(), " ",
                    image_YXC.sizes());
  const int channels = static_cast<int>(image_YXC.size(2));
  // OpenCV's order is BGR.
  const at::Tensor bgr_YXC = channels == 3 ? image_YXC.flip({2}).contiguous() : image_YXC.contiguous();
  cv::setNumThreads(1);
  const cv::Mat pixels(static_cast<int>(bgr_YXC.size(0)), static_cast<int>(bgr_YXC.size(1)), CV_8UC(channels),
                       bgr_YXC.data_ptr<uint8_t>());
  std::vector<uint8_t> bytes;
  try {
    const bool ok = cv::imencode(
        ".png", pixels, bytes,
        {cv::IMWRITE_PNG_COMPRESSION, kCompressionLevel, cv::IMWRITE_PNG_STRATEGY, cv::IMWRITE_PNG_STRATEGY_DEFAULT});
    check<DataError>(ok, "[encode_png] expected the encoder to succeed, got a failure");
  } catch (const cv::Exception& e) {
    fail<DataError>("[encode_png] expected the encoder to succeed, got: ", e.err);
  }
  return {bytes.begin(), bytes.end()};
}

void write_png(const std::filesystem::path& path, const at::Tensor& image_YXC) {
  write_file_atomic(path, encode_png(image_YXC));
}

at::Tensor to_bytes(const at::Tensor& pixels_CYX) {
  check<ShapeError>(pixels_CYX.defined() && pixels_CYX.dim() == 3 && pixels_CYX.is_floating_point(),
                    "[to_bytes] expected float (C, Y, X), got ", pixels_CYX.sizes());
  return pixels_CYX.to(at::kCPU, at::kFloat)
      .add(1)
      .mul(127.5)
      .round()
      .clamp(0, 255)
      .to(at::kByte)
      .permute({1, 2, 0})
      .contiguous();
}

at::Tensor to_unit_range(const at::Tensor& image_YXC) {
  check<ShapeError>(image_YXC.defined() && image_YXC.dim() == 3 && image_YXC.scalar_type() == at::kByte,
                    "[to_unit_range] expected u8 (Y, X, C), got ", image_YXC.sizes());
  return image_YXC.permute({2, 0, 1}).to(at::kFloat).div(127.5).sub(1).contiguous();
}

}  // namespace polyphony::image
