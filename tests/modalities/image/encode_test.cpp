// SPDX-License-Identifier: Apache-2.0
// PNG out and in again is the identity, and the bytes are the same every time.
#include "modalities/image/encode.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/error.h"
#include "modalities/image/decode.h"

namespace polyphony::image {
namespace {

at::Tensor noise(at::IntArrayRef shape) { return at::randint(0, 256, shape, at::kByte); }

at::Tensor decode(const std::string& bytes) { return decode_image(std::as_bytes(std::span(bytes))); }

TEST(EncodePng, DecodesToTheSamePixels) {
  const at::Tensor image_YXC = noise({7, 5, 3});
  EXPECT_TRUE(at::equal(decode(encode_png(image_YXC)), image_YXC));
  const at::Tensor grey_YXC = noise({3, 9, 1});
  EXPECT_TRUE(at::equal(decode(encode_png(grey_YXC)), grey_YXC.expand({3, 9, 3})));
}

TEST(EncodePng, GivesTheSameBytesForTheSamePixels) {
  const at::Tensor image_YXC = noise({31, 17, 3});
  EXPECT_EQ(encode_png(image_YXC), encode_png(image_YXC.clone()));
  EXPECT_EQ(encode_png(image_YXC), encode_png(image_YXC.transpose(0, 1).contiguous().transpose(0, 1)));
}

TEST(EncodePng, RefusesOtherTensors) {
  EXPECT_THROW(encode_png(at::rand({4, 4, 3})), ShapeError);
  EXPECT_THROW(encode_png(noise({4, 4})), ShapeError);
  EXPECT_THROW(encode_png(noise({0, 4, 3})), ShapeError);
}

TEST(EncodePng, WritesAFileOrNothing) {
  const auto folder = std::filesystem::temp_directory_path() / "polyphony_encode_test";
  std::filesystem::create_directories(folder);
  const at::Tensor image_YXC = noise({4, 4, 3});
  write_png(folder / "with space é.png", image_YXC);
  EXPECT_TRUE(at::equal(load_image(folder / "with space é.png"), image_YXC));
  EXPECT_THROW(write_png(folder / "missing" / "x.png", image_YXC), Error);
  std::filesystem::create_directories(folder / "taken.png" / "inside");
  EXPECT_THROW(write_png(folder / "taken.png", image_YXC), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 2) << "a partial file was left";
  std::filesystem::remove_all(folder);
}

TEST(EncodePng, UnitRangeAndBytesAreInverse) {
  const at::Tensor image_YXC = at::arange(256, at::kByte).reshape({16, 16, 1}).expand({16, 16, 3}).contiguous();
  EXPECT_TRUE(at::equal(to_bytes(to_unit_range(image_YXC)), image_YXC));
  EXPECT_EQ(to_bytes(at::full({3, 1, 1}, 7.0)).max().item<int>(), 255);
}

}  // namespace
}  // namespace polyphony::image
