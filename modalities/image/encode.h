// SPDX-License-Identifier: Apache-2.0
// An RGB tensor -> PNG bytes or a PNG file.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

namespace polyphony::image {

// image_YXC: u8 (Y, X, 3) RGB or (Y, X, 1) grey, on the CPU. Same pixels, same bytes (fixed compression level and
// filter, no time stamp). Throws ShapeError.
std::string encode_png(const at::Tensor& image_YXC);

// Writes encode_png's bytes beside the target and renames, so that no reader ever sees half a file.
// Throws: ShapeError; Error with the system's reason if the file cannot be written.
void write_png(const std::filesystem::path& path, const at::Tensor& image_YXC);

// f32 (3, Y, X) in [-1, 1] -> u8 (Y, X, 3): round((v + 1) * 127.5), clamped.
at::Tensor to_bytes(const at::Tensor& pixels_CYX);

// u8 (Y, X, 3) -> f32 (3, Y, X) in [-1, 1]: v / 127.5 - 1.
at::Tensor to_unit_range(const at::Tensor& image_YXC);

}  // namespace polyphony::image
