// SPDX-License-Identifier: Apache-2.0
// The text chunks of PNG files: where image generators keep prompt and settings.
// Source: PNG specification, third edition (W3C), sections 5 (chunks, CRC) and 11.3.3 (tEXt, zTXt, iTXt).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/files.h"

namespace polyphony::formats {

struct PngText {
  std::string keyword;         // UTF-8 here; Latin-1 on disk
  std::string text;            // UTF-8
  bool international = false;  // written as iTXt even where Latin-1 is enough
};

struct PngTextLimits {
  size_t max_text_bytes = size_t{8} << 20;    // one chunk, before and after inflating
  size_t max_total_bytes = size_t{32} << 20;  // all texts together
  size_t max_chunks = 200'000;
};

struct PngTexts {
  std::vector<PngText> texts;        // in file order; keywords may repeat
  std::vector<std::string> skipped;  // text chunks beyond the limits, damaged or ill-formed, each with the reason
};

// Reads the text chunks and nothing else; a bad one is skipped, because the picture may still be good.
// Throws DataError when the chunks do not form a PNG file.
PngTexts read_png_text(uint64_t file_size, const ReadAt& read_at, std::string_view where,
                       const PngTextLimits& limits = {});
PngTexts read_png_text(std::span<const std::byte> png, std::string_view where = "png",
                       const PngTextLimits& limits = {});
PngTexts read_png_text(const std::filesystem::path& path, const PngTextLimits& limits = {});

// The same picture with these texts right after IHDR, as tEXt where Latin-1 is enough and as iTXt otherwise or if asked
// for. Text chunks with the same keywords are replaced, all other chunks stay as they are. Throws DataError when `png`
// is no PNG file; Error for a keyword or text that PNG cannot hold.
std::string insert_png_text(std::span<const std::byte> png, std::span<const PngText> texts);

}  // namespace polyphony::formats
