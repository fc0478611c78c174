// SPDX-License-Identifier: Apache-2.0
// Walking the chunks of a PNG file and decoding its texts.
#include "core/formats/png_text.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "core/check.h"
#include "core/formats/latin1.h"

namespace polyphony::formats {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n"sv;
constexpr uint64_t kFrameBytes = 12;  // length, type and CRC around the data
constexpr uint32_t kHeaderDataBytes = 13;
constexpr uint32_t kMaxChunkBytes = 0x7fffffff;
constexpr size_t kMaxKeywordBytes = 79;
constexpr size_t kMaxSkippedNotes = 20;

struct Chunk {
  std::string type;
  uint64_t data_begin = 0;
  uint32_t num_bytes = 0;
};

uint32_t load_big_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

uint32_t crc_of(std::string_view bytes) {
  return static_cast<uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::string read_text(const ReadAt& read_at, uint64_t offset, size_t num_bytes) {
  std::string out(num_bytes, '\0');
  read_at(offset, std::as_writable_bytes(std::span(out)));
  return out;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// All chunks up to IEND; what follows IEND is nobody's business here.
std::vector<Chunk> list_chunks(uint64_t file_size, const ReadAt& read_at, std::string_view where, size_t max_chunks) {
  check<DataError>(file_size >= kSignature.size() && read_text(read_at, 0, kSignature.size()) == kSignature, "[", where,
                   "] expected a PNG file, got another signature");
  std::vector<Chunk> chunks;
  uint64_t offset = kSignature.size();
  while (chunks.empty() || chunks.back().type != "IEND") {
    check<DataError>(chunks.size() < max_chunks, "[", where, "] expected at most ", max_chunks, " PNG chunks");
    check<DataError>(file_size - offset >= kFrameBytes, "[", where, "] expected a PNG chunk at byte ", offset,
                     ", but the file ends: it is truncated");
    const std::string head = read_text(read_at, offset, 8);
    const uint32_t num_bytes = load_big_endian(head);
    Chunk chunk{head.substr(4), offset + 8, num_bytes};
    const bool is_type = std::ranges::all_of(chunk.type, is_letter);
    check<DataError>(is_type, "[", where, "] expected four letters as chunk type at byte ", offset + 4, ", got '",
                     printable(chunk.type), "'");
    check<DataError>(num_bytes <= kMaxChunkBytes && num_bytes <= file_size - offset - kFrameBytes, "[", where,
                     "] PNG chunk ", chunk.type, " at byte ", offset, " states ", num_bytes,
                     " bytes, more than the file has: it is truncated");
    check<DataError>(!chunks.empty() || (chunk.type == "IHDR" && num_bytes == kHeaderDataBytes), "[", where,
                     "] expected IHDR of 13 bytes as first PNG chunk, got ", chunk.type, " of ", num_bytes);
    offset += kFrameBytes + num_bytes;
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

bool is_text_type(std::string_view type) { return type == "tEXt" || type == "zTXt" || type == "iTXt"; }

// Empty when the stream is damaged or gives more than `max_bytes`; then no more than that was made.
std::optional<std::string> inflate_capped(std::string_view packed, size_t max_bytes) {
  z_stream stream{};
  if (::inflateInit(&stream) != Z_OK) return std::nullopt;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));  // zlib only reads it
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string out;
  std::array<char, 16384> piece;
  int state = Z_OK;
  while (state == Z_OK && out.size() <= max_bytes) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = piece.size();
    state = ::inflate(&stream, Z_NO_FLUSH);
    out.append(piece.data(), piece.size() - stream.avail_out);
  }
  ::inflateEnd(&stream);
  if (state != Z_STREAM_END || out.size() > max_bytes) return std::nullopt;
  return out;
}

// Cuts the part before the next NUL off `rest`; empty when there is none.
std::optional<std::string_view> take_field(std::string_view& rest) {
  const size_t nul = rest.find('\0');
  if (nul == std::string_view::npos) return std::nullopt;
  const std::string_view field = rest.substr(0, nul);
  rest.remove_prefix(nul + 1);
  return field;
}

// The text of one chunk or, in `reason`, why there is none.
std::optional<PngText> decode(const std::string& type, std::string_view data, size_t max_bytes, std::string& reason) {
  const auto refuse = [&](std::string_view why) {
    reason = why;
    return std::nullopt;
  };
  const auto keyword = take_field(data);
  if (!keyword || keyword->empty() || keyword->size() > kMaxKeywordBytes) return refuse("no keyword of 1 to 79 bytes");
  PngText out{latin1_to_utf8(*keyword), {}};
  bool is_packed = type == "zTXt";
  if (type == "iTXt") {
    if (data.empty() || static_cast<unsigned char>(data[0]) > 1) return refuse("compression flag neither 0 nor 1");
    is_packed = data[0] == 1;
    data.remove_prefix(1);
  }
  if (type != "tEXt") {
    if (data.empty() || (is_packed && data[0] != 0)) return refuse("an unknown compression method");
    data.remove_prefix(1);
  }
  if (type == "iTXt" && (!take_field(data) || !take_field(data))) return refuse("no language and translated keyword");
  std::string text(data);
  if (is_packed) {
    auto inflated = inflate_capped(data, max_bytes);
    if (!inflated) return refuse("compressed text is damaged or larger than the limit");
    text = std::move(*inflated);
  }
  if (type == "iTXt" && !is_utf8(text)) return refuse("text is not UTF-8");
  out.text = type == "iTXt" ? std::move(text) : latin1_to_utf8(text);
  return out;
}

std::string make_chunk(std::string_view type, std::string_view data) {
  const std::string body = std::string(type) + std::string(data);
  return big_endian(static_cast<uint32_t>(data.size())) + body + big_endian(crc_of(body));
}

bool is_keyword(std::string_view latin1) {
  const auto is_printable = [](unsigned char c) { return (c >= 32 && c <= 126) || c >= 161; };
  return !latin1.empty() && latin1.size() <= kMaxKeywordBytes && std::ranges::all_of(latin1, is_printable) &&
         !latin1.starts_with(' ') && !latin1.ends_with(' ') && latin1.find("  ") == std::string_view::npos;
}

std::string make_text_chunk(const PngText& text) {
  const auto keyword = utf8_to_latin1(text.keyword);
  check<Error>(keyword && is_keyword(*keyword),
               "[insert_png_text] expected a keyword of 1 to 79 Latin-1 letters, got '", printable(text.keyword), "'");
  check<Error>(is_utf8(text.text) && text.text.find('\0') == std::string::npos && text.text.size() < kMaxChunkBytes / 2,
               "[insert_png_text] keyword '", printable(text.keyword), "': expected text in UTF-8 without NUL");
  const std::string head = *keyword + '\0';
  const auto latin1 = text.international ? std::nullopt : utf8_to_latin1(text.text);
  if (latin1) return make_chunk("tEXt", head + *latin1);
  // Not compressed, no language, no translated keyword.
  return make_chunk("iTXt", head + std::string(4, '\0') + text.text);
}

}  // namespace

PngTexts read_png_text(uint64_t file_size, const ReadAt& read_at, std::string_view where, const PngTextLimits& limits) {
  PngTexts result;
  const auto skip = [&](const Chunk& chunk, std::string_view reason) {
    if (result.skipped.size() < kMaxSkippedNotes) {
      result.skipped.push_back(join("[", where, "] ", chunk.type, " at byte ", chunk.data_begin - 8, ": ", reason));
    }
  };
  size_t total = 0;
  for (const Chunk& chunk : list_chunks(file_size, read_at, where, limits.max_chunks)) {
    if (!is_text_type(chunk.type)) continue;
    if (chunk.num_bytes > limits.max_text_bytes || total + chunk.num_bytes > limits.max_total_bytes) {
      skip(chunk, join(chunk.num_bytes, " bytes are above the limit"));
      continue;
    }
    const std::string data = read_text(read_at, chunk.data_begin, chunk.num_bytes);
    const std::string stored_crc = read_text(read_at, chunk.data_begin + chunk.num_bytes, 4);
    if (crc_of(chunk.type + data) != load_big_endian(stored_crc)) {
      skip(chunk, "its CRC is wrong");
      continue;
    }
    const size_t room = std::min(limits.max_text_bytes, limits.max_total_bytes - total);
    std::string reason;
    std::optional<PngText> text = decode(chunk.type, data, room, reason);
    if (!text) {
      skip(chunk, reason);
      continue;
    }
    total += std::min(room, text->text.size());
    result.texts.push_back(std::move(*text));
  }
  return result;
}

PngTexts read_png_text(std::span<const std::byte> png, std::string_view where, const PngTextLimits& limits) {
  return read_png_text(png.size(), reader_of(png), where, limits);
}

PngTexts read_png_text(const std::filesystem::path& path, const PngTextLimits& limits) {
  const InputFile file = InputFile::open(path);
  return read_png_text(file.size(), reader_of(file), printable(path.native(), 400), limits);
}

std::string insert_png_text(std::span<const std::byte> png, std::span<const PngText> texts) {
  const std::string_view bytes = as_text(png);
  const auto chunks = list_chunks(png.size(), reader_of(png), "insert_png_text", PngTextLimits{}.max_chunks);
  std::set<std::string> keywords;
  std::string inserted;
  for (const PngText& text : texts) {
    inserted += make_text_chunk(text);
    keywords.insert(text.keyword);
  }
  std::string out(kSignature);
  out.reserve(bytes.size() + inserted.size());
  for (const Chunk& chunk : chunks) {
    const std::string_view whole = bytes.substr(chunk.data_begin - 8, kFrameBytes + chunk.num_bytes);
    std::string_view data = whole.substr(8, chunk.num_bytes);
    const auto keyword = is_text_type(chunk.type) ? take_field(data) : std::nullopt;
    if (keyword && keywords.contains(latin1_to_utf8(*keyword))) continue;
    out += whole;
    if (&chunk == &chunks.front()) out += inserted;  // IHDR, which list_chunks has seen to
  }
  return out;
}

}  // namespace polyphony::formats
