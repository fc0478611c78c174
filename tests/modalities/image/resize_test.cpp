// SPDX-License-Identifier: Apache-2.0
// Resizes against torch's antialiased ones, and the geometry of crops and pads.
#include "modalities/image/resize.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/tensor_io.h"

namespace polyphony::image {
namespace {

at::Tensor plain(int64_t height, int64_t width, int value = 100) {
  return at::full({height, width, 3}, value, at::kByte);
}

TEST(Resize, EqualsTorchWithAntialias) {
  const TensorMap golden = load_tensors(POLYPHONY_SOURCE_DIR "/tests/golden/image/resize.safetensors");
  const at::Tensor picture_YXC = golden.at("picture");
  const at::Tensor picture_BCYX = picture_YXC.permute({2, 0, 1}).unsqueeze(0).to(at::kFloat);
  for (const auto& [filter, name] : {std::pair{Filter::bilinear, "bilinear"}, std::pair{Filter::bicubic, "bicubic"}}) {
    for (const Size size : {Size{16, 16}, Size{64, 80}, Size{37, 20}, Size{5, 53}}) {
      const std::string key = std::string(name) + "_" + std::to_string(size.height) + "x" + std::to_string(size.width);
      EXPECT_TRUE(at::allclose(resize_float(picture_BCYX, size, filter), golden.at(key + ".float"), 0, 1e-3)) << key;
      EXPECT_TRUE(at::equal(resize_image(picture_YXC, size, filter), golden.at(key))) << key;
    }
  }
}

TEST(Resize, KeepsAPlainColour) {
  for (const Filter filter : {Filter::bilinear, Filter::bicubic})
    EXPECT_TRUE(at::equal(resize_image(plain(7, 300), {33, 2}, filter), plain(33, 2)));
}

TEST(Resize, HandlesExtremeShapes) {
  EXPECT_EQ(resize_image(plain(1, 20000), {8, 8}).sizes(), (at::IntArrayRef{8, 8, 3}));
  EXPECT_EQ(resize_image(plain(1, 1), {8, 8}).sizes(), (at::IntArrayRef{8, 8, 3}));
  EXPECT_EQ(fit_and_pad(plain(20000, 1), {8, 8}).sizes(), (at::IntArrayRef{8, 8, 3}));
  EXPECT_THROW(resize_image(plain(2, 2), {0, 8}), ShapeError);
  EXPECT_THROW(resize_image(at::rand({2, 2, 3}), {8, 8}), ShapeError);
}

TEST(Resize, ShortestEdgeKeepsProportionsAndRoundsDown) {
  EXPECT_EQ(shortest_edge_size({480, 641}, 224).width, 299);
  EXPECT_EQ(shortest_edge_size({480, 641}, 224).height, 224);
  EXPECT_EQ(shortest_edge_size({641, 480}, 224).height, 299);
}

TEST(Crop, TakesTheMiddleAndPadsWithBlack) {
  const at::Tensor ramp_YXC = at::arange(5 * 6 * 3, at::kByte).reshape({5, 6, 3});
  EXPECT_TRUE(at::equal(centre_crop(ramp_YXC, {3, 2}), ramp_YXC.slice(0, 1, 4).slice(1, 2, 4)));
  const at::Tensor padded_YXC = centre_crop(plain(2, 2), {4, 2});
  EXPECT_EQ(padded_YXC[0].max().item<int>(), 0);
  EXPECT_EQ(padded_YXC[1].min().item<int>(), 100);
}

TEST(Pad, FitsTheWholeImageBetweenColour) {
  const at::Tensor out_YXC = fit_and_pad(plain(10, 20), {8, 8}, {1, 2, 3});
  EXPECT_TRUE(at::equal(out_YXC[0][0], at::tensor({1, 2, 3}, at::kByte)));
  EXPECT_TRUE(at::equal(out_YXC.slice(0, 2, 6), plain(4, 8)));
  EXPECT_TRUE(at::equal(out_YXC[7][7], at::tensor({1, 2, 3}, at::kByte)));
}

TEST(Cover, FillsTheSizeWithoutBorders) {
  EXPECT_TRUE(at::equal(cover_and_crop(plain(10, 33), {8, 8}), plain(8, 8)));
  EXPECT_TRUE(at::equal(cover_and_crop(plain(3, 2), {8, 8}), plain(8, 8)));
}

TEST(Normalise, SubtractsTheMeanAndDividesByTheDeviation) {
  const at::Tensor out_CYX = normalise(plain(2, 3, 255), {0.5, 0.25, 0.0}, {0.5, 0.5, 2.0});
  EXPECT_EQ(out_CYX.sizes(), (at::IntArrayRef{3, 2, 3}));
  EXPECT_TRUE(at::allclose(out_CYX.select(2, 0).select(1, 0), at::tensor({1.0f, 1.5f, 0.5f})));
}

}  // namespace
}  // namespace polyphony::image
