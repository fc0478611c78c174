// SPDX-License-Identifier: Apache-2.0
// EXIF orientation of an image tensor.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::image {

// Turns and mirrors (Y, X, C) so that it stands upright; 5..8 swap the sides. Values other than 2..8 change nothing.
// Source: EXIF 2.32, tag 0x0112.
at::Tensor apply_orientation(const at::Tensor& image_YXC, int orientation);

}  // namespace polyphony::image
