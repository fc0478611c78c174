// SPDX-License-Identifier: Apache-2.0
// Antialiased resizing, cropping and padding of u8 images, as image processors of published models do it.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace polyphony::image {

enum class Filter : uint8_t { bilinear, bicubic };

struct Size {
  int64_t height = 0;
  int64_t width = 0;
};

// f32 (B, C, Y, X) -> (B, C, height, width). Equals torch's interpolate(antialias=True, align_corners=False): the cubic
// has a = -0.5 and widens with the reduction, as Pillow's does. Throws ShapeError.
at::Tensor resize_float(const at::Tensor& pixels_BCYX, Size size, Filter filter);

// u8 (Y, X, C) -> u8 (height, width, C): resize_float, then round half to even and clamp to 0..255. Throws ShapeError.
at::Tensor resize_image(const at::Tensor& image_YXC, Size size, Filter filter = Filter::bicubic);

// Scales so that the shorter side is `side`, the longer one floor(longer * side / shorter), as CLIP's processor does.
Size shortest_edge_size(Size original, int64_t side);

// The middle part; where the image is smaller, black is added around it (the smaller half above and to the left).
at::Tensor centre_crop(const at::Tensor& image_YXC, Size size);

// Scales to fit inside the size without changing proportions, then pads evenly with one colour (0..255, RGB).
at::Tensor fit_and_pad(const at::Tensor& image_YXC, Size size, std::array<uint8_t, 3> colour = {255, 255, 255},
                       Filter filter = Filter::bicubic);

// Scales so that the size is covered, then takes the middle part. Proportions are kept, edges are lost.
at::Tensor cover_and_crop(const at::Tensor& image_YXC, Size size, Filter filter = Filter::bicubic);

// f32 (3, Y, X): (v / 255 - mean) / deviation for each channel of u8 (Y, X, 3).
at::Tensor normalise(const at::Tensor& image_YXC, std::array<double, 3> mean, std::array<double, 3> deviation);

}  // namespace polyphony::image
