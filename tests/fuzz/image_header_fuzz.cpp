// SPDX-License-Identifier: Apache-2.0
// libFuzzer entry: any bytes through the image header parser and the rewriters that follow it.
#include <cstddef>
#include <cstdint>

#include "core/error.h"
#include "core/formats/image_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polyphony;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    const auto header = formats::parse_image_header(bytes);
    if (header.format == formats::ImageFormat::png) formats::strip_png(bytes);
    if (header.format == formats::ImageFormat::tiff) formats::upright_tiff(bytes);
    if (header.format == formats::ImageFormat::webp && header.several_frames) formats::first_webp_frame(bytes);
  } catch (const DataError&) {
    return -1;  // refused: not worth keeping in the corpus
  }
  return 0;
}
