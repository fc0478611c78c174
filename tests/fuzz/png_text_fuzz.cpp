// SPDX-License-Identifier: Apache-2.0
// Fuzzes the text chunks of PNG files: what is read stays below the limits, and what is inserted is read back.
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "core/error.h"
#include "core/formats/png_text.h"

namespace {

uint32_t load_big_endian(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | uint32_t{p[3]};
}

// A mutated chunk almost never has the right CRC, and then the code behind that check would not be reached.
void mend_crcs(std::vector<uint8_t>& png) {
  size_t at = 8;
  while (png.size() >= at + 12) {
    const uint32_t num_bytes = load_big_endian(&png[at]);
    if (num_bytes > png.size() - at - 12) return;
    const auto crc = static_cast<uint32_t>(::crc32(0, &png[at + 4], num_bytes + 4));
    for (size_t i = 0; i < 4; ++i) png[at + 8 + num_bytes + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    at += size_t{12} + num_bytes;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polyphony;
  constexpr size_t kMaxTextBytes = size_t{1} << 20;
  const formats::PngTextLimits limits{.max_text_bytes = kMaxTextBytes, .max_total_bytes = 2 * kMaxTextBytes};
  std::vector<uint8_t> mended(data, data + size);
  if (size % 8 != 0) mend_crcs(mended);
  const auto png = std::as_bytes(std::span(mended));
  try {
    // Latin-1 may take twice its bytes in UTF-8.
    for (const auto& text : formats::read_png_text(png, "fuzz", limits).texts) {
      if (text.text.size() > 2 * kMaxTextBytes) std::abort();
    }
    const formats::PngText mark{"polyphony", "\u5186 round trip"};
    const std::string with_mark = formats::insert_png_text(png, std::span(&mark, 1));
    const auto again = formats::read_png_text(as_byte_span(with_mark), "fuzz", limits);
    if (again.texts.empty() || again.texts[0].text != mark.text) std::abort();
  } catch (const DataError&) {
    return 0;
  }
  return 0;
}
