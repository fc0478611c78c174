// SPDX-License-Identifier: Apache-2.0
// Bytes or a local file of an image -> an RGB tensor.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/formats/image_header.h"

namespace polyphony::image {

struct DecodeLimits {
  formats::ImageLimits size = {};  // checked in the header, before any pixel is decoded
  size_t max_file_bytes = size_t{256} << 20;
};

// Decodes PNG, JPEG, WebP, BMP or TIFF, recognised by its bytes. Everything else is refused by name.
// Returns:  u8 (Y, X, 3), RGB, contiguous, upright (EXIF orientation applied; a bogus one ignored).
// Rules:    grey is repeated three times; 16 bits become round(v / 257); transparency is laid over white after that
//           (a colour key of a grey PNG counts as opaque); a palette is looked up; CMYK JPEG is taken as Adobe writes
//           it, inverted, and becomes R = C * K / 255 and so on; colour profiles and gamma are ignored (sRGB is meant);
//           of an animation or several pages the first is taken (an animated WebP's first frame on a white canvas).
// notes:    where given, gets a sentence for each thing that the pixels no longer show (more frames, a colour key).
// Throws:   DataError for a refused, malformed, truncated or too large image.
at::Tensor decode_image(std::span<const std::byte> bytes, const DecodeLimits& limits = {},
                        std::vector<std::string>* notes = nullptr);

// decode_image of a local regular file. An address such as https://... is not a local file and is refused.
// Throws:   DataError naming the path.
at::Tensor load_image(const std::filesystem::path& path, const DecodeLimits& limits = {},
                      std::vector<std::string>* notes = nullptr);

}  // namespace polyphony::image
