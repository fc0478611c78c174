// SPDX-License-Identifier: Apache-2.0
// Fuzzes the image headers and what is cut out of accepted files before a codec sees them.
#include <cstdint>
#include <cstdlib>

#include "core/error.h"
#include "core/formats/image_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polyphony;
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const auto header = formats::parse_image_header(bytes);
    if (header.width < 1 || header.height < 1 || header.orientation < 1 || header.orientation > 8) std::abort();
    if (header.format == formats::ImageFormat::png) formats::strip_png(bytes);
    if (header.format == formats::ImageFormat::tiff) formats::upright_tiff(bytes);
    if (header.format == formats::ImageFormat::webp && header.several_frames) formats::first_webp_frame(bytes);
  } catch (const DataError&) {
    return 0;
  }
  return 0;
}
