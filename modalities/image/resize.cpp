// SPDX-License-Identifier: Apache-2.0
#include "modalities/image/resize.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace polyphony::image {

namespace {

void check_image(const char* where, const at::Tensor& image_YXC) {
  check<ShapeError>(
      image_YXC.defined() && image_YXC.dim() == 3 && image_YXC.scalar_type() == at::kByte && image_YXC.numel() > 0,
      where, " expected u8 (Y, X, C), got ", image_YXC.sizes());
}

void check_size(const char* where, Size size) {
  check<ShapeError>(size.height >= 1 && size.width >= 1, where, " expected a size of at least 1 x 1, got ", size.height,
                    " x ", size.width);
}

Size size_of(const at::Tensor& image_YXC) { return {image_YXC.size(0), image_YXC.size(1)}; }

// The size at which `scale` of both sides is chosen by `pick` (min fits inside, max covers).
template <class Pick>
Size scaled_to(Size original, Size target, Pick pick) {
  const double scale = pick(static_cast<double>(target.height) / static_cast<double>(original.height),
                            static_cast<double>(target.width) / static_cast<double>(original.width));
  const auto side = [scale](int64_t v) { return std::max<int64_t>(1, std::llround(static_cast<double>(v) * scale)); };
  return {side(original.height), side(original.width)};
}

}  // namespace

at::Tensor resize_float(const at::Tensor& pixels_BCYX, Size size, Filter filter) {
  check<ShapeError>(pixels_BCYX.dim() == 4 && pixels_BCYX.is_floating_point() && pixels_BCYX.numel() > 0,
                    "[resize] expected float (B, C, Y, X), got ", pixels_BCYX.sizes());
  check_size("[resize]", size);
  const std::array<int64_t, 2> sides = {size.height, size.width};
  return filter == Filter::bicubic ? at::_upsample_bicubic2d_aa(pixels_BCYX, sides, false, std::nullopt, std::nullopt)
                                   : at::_upsample_bilinear2d_aa(pixels_BCYX, sides, false, std::nullopt, std::nullopt);
}

at::Tensor resize_image(const at::Tensor& image_YXC, Size size, Filter filter) {
  check_image("[resize]", image_YXC);
  check_size("[resize]", size);
  if (image_YXC.size(0) == size.height && image_YXC.size(1) == size.width) return image_YXC;
  const at::Tensor pixels_BCYX = image_YXC.permute({2, 0, 1}).unsqueeze(0).to(at::kFloat);
  return resize_float(pixels_BCYX, size, filter)
      .squeeze(0)
      .round()
      .clamp(0, 255)
      .to(at::kByte)
      .permute({1, 2, 0})
      .contiguous();
}

Size shortest_edge_size(Size original, int64_t side) {
  check_size("[shortest_edge_size]", original);
  check_size("[shortest_edge_size]", {side, side});
  const auto longer = [side](int64_t v, int64_t shorter) { return std::max<int64_t>(1, v * side / shorter); };
  return original.height <= original.width ? Size{side, longer(original.width, original.height)}
                                           : Size{longer(original.height, original.width), side};
}

at::Tensor centre_crop(const at::Tensor& image_YXC, Size size) {
  check_image("[centre_crop]", image_YXC);
  check_size("[centre_crop]", size);
  const Size had = size_of(image_YXC);
  at::Tensor out_YXC = at::zeros({size.height, size.width, image_YXC.size(2)}, image_YXC.options());
  const int64_t height = std::min(had.height, size.height), width = std::min(had.width, size.width);
  const auto middle = [](int64_t outer, int64_t inner) { return (outer - inner) / 2; };
  out_YXC.narrow(0, middle(size.height, height), height)
      .narrow(1, middle(size.width, width), width)
      .copy_(image_YXC.narrow(0, middle(had.height, height), height).narrow(1, middle(had.width, width), width));
  return out_YXC;
}

at::Tensor fit_and_pad(const at::Tensor& image_YXC, Size size, std::array<uint8_t, 3> colour, Filter filter) {
  check_image("[fit_and_pad]", image_YXC);
  check<ShapeError>(image_YXC.size(2) == 3, "[fit_and_pad] expected RGB, got ", image_YXC.size(2), " channels");
  check_size("[fit_and_pad]", size);
  Size fitted = scaled_to(size_of(image_YXC), size, [](double a, double b) { return std::min(a, b); });
  fitted = {std::min(fitted.height, size.height), std::min(fitted.width, size.width)};
  const at::Tensor inner_YXC = resize_image(image_YXC, fitted, filter);
  at::Tensor out_YXC = at::tensor({colour[0], colour[1], colour[2]}, image_YXC.options())
                           .expand({size.height, size.width, 3})
                           .clone(at::MemoryFormat::Contiguous);
  out_YXC.narrow(0, (size.height - fitted.height) / 2, fitted.height)
      .narrow(1, (size.width - fitted.width) / 2, fitted.width)
      .copy_(inner_YXC);
  return out_YXC;
}

at::Tensor cover_and_crop(const at::Tensor& image_YXC, Size size, Filter filter) {
  check_image("[cover_and_crop]", image_YXC);
  check_size("[cover_and_crop]", size);
  Size covering = scaled_to(size_of(image_YXC), size, [](double a, double b) { return std::max(a, b); });
  covering = {std::max(covering.height, size.height), std::max(covering.width, size.width)};
  return centre_crop(resize_image(image_YXC, covering, filter), size);
}

at::Tensor normalise(const at::Tensor& image_YXC, std::array<double, 3> mean, std::array<double, 3> deviation) {
  check_image("[normalise]", image_YXC);
  check<ShapeError>(image_YXC.size(2) == 3, "[normalise] expected RGB, got ", image_YXC.size(2), " channels");
  const auto column = [](std::array<double, 3> v) {
    return at::tensor({v[0], v[1], v[2]}, at::kFloat).view({3, 1, 1});
  };
  return image_YXC.permute({2, 0, 1}).to(at::kFloat).div(255).sub(column(mean)).div(column(deviation)).contiguous();
}

}  // namespace polyphony::image
