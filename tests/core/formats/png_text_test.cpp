// SPDX-License-Identifier: Apache-2.0
// Prompts travel in PNG files, and no chunk of a stranger's file can do harm.
#include "core/formats/png_text.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/formats/strict_json.h"
#include "tests/support/expect_error.h"
#include "tests/support/png_builder.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::formats {
namespace {

using polyphony::testing::png_chunk;
using polyphony::testing::png_file;
using polyphony::testing::png_head;
using polyphony::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using std::string_literals::operator""s;
using std::string_view_literals::operator""sv;

std::filesystem::path golden(std::string_view name) {
  return std::filesystem::path(POLYPHONY_SOURCE_DIR) / "tests/golden/png_text" / name;
}

PngTexts read(std::string_view bytes) { return read_png_text(as_byte_span(bytes)); }

std::string insert(std::string_view png, const std::vector<PngText>& texts) {
  return insert_png_text(as_byte_span(png), texts);
}

TEST(PngText, EveryKindOfTextThatPillowWritesIsRead) {
  const auto expected = nlohmann::json::parse(read_file(golden("texts.json"), 1 << 20));
  const PngTexts result = read_png_text(golden("texts.png"));
  ASSERT_EQ(result.texts.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(result.texts[i].keyword, expected[i][0].get<std::string>());
    EXPECT_EQ(result.texts[i].text, expected[i][1].get<std::string>());
  }
  EXPECT_THAT(result.skipped, IsEmpty());
}

TEST(PngText, WhatIsInsertedIsReadBackAndTheRestStays) {
  const std::string plain = read_file(golden("plain.png"), 1 << 20);
  const std::vector<PngText> texts = {{"parameters", "Zo\u00eb, a red circle\n"}, {"prompt", "\u5186 \U0001f3b5"}};
  const std::string with_texts = insert(plain, texts);
  const PngTexts result = read(with_texts);
  ASSERT_EQ(result.texts.size(), 2u);
  EXPECT_EQ(result.texts[0].text, texts[0].text);
  EXPECT_EQ(result.texts[1].text, texts[1].text);
  // Signature and IHDR take 33 bytes.
  EXPECT_EQ(with_texts.substr(0, 33), plain.substr(0, 33));
  EXPECT_EQ(with_texts.substr(37, 4), "tEXt");
  EXPECT_TRUE(with_texts.ends_with(plain.substr(33)));
  EXPECT_NE(with_texts.find("iTXtprompt"), std::string::npos);
}

TEST(PngText, InsertingAgainReplacesTheKeywordAndKeepsOthers) {
  const std::string file = insert(read_file(golden("texts.png"), 1 << 20), {{"packed", "new"}, {"prompt", "new"}});
  std::vector<std::string> keywords;
  for (const PngText& text : read(file).texts) keywords.push_back(text.keyword);
  EXPECT_THAT(keywords, ElementsAre("packed", "prompt", "parameters", "Author", "packed prompt"));
}

TEST(PngText, OurChunksAreThoseOfTheSpecification) {
  const std::string file = insert(png_file(""), {{"k", "v"}, {"k2", "\u5186"}});
  EXPECT_EQ(file, png_file(png_chunk("tEXt", "k\0v"sv) + png_chunk("iTXt", "k2\0\0\0\0\0\u5186"sv)));
}

TEST(PngText, KeywordsAndTextsThatPngCannotHoldAreRefused) {
  for (const char* keyword : {"", " k", "k ", "a  b", "a\nb", "\u5186", "\xff"}) {
    EXPECT_REFUSED(Error, insert(png_file(""), {{keyword, "v"}}), "keyword");
  }
  EXPECT_REFUSED(Error, insert(png_file(""), {{std::string(80, 'k'), "v"}}), "keyword");
  EXPECT_REFUSED(Error, insert(png_file(""), {{"k", "\xff"}}), "UTF-8");
  EXPECT_REFUSED(Error, insert(png_file(""), {{"k", std::string("a\0b", 3)}}), "NUL");
  EXPECT_REFUSED(DataError, insert("GIF89a..", {}), "signature");
}

TEST(PngText, ABombIsSkippedWithoutInflatingItAndLaterTextsAreRead) {
  const PngTexts result = read_png_text(golden("bomb.png"));
  EXPECT_THAT(result.skipped, ElementsAre(HasSubstr("zTXt at byte 33: compressed text is damaged or larger")));
  ASSERT_EQ(result.texts.size(), 1u);
  EXPECT_EQ(result.texts[0].text, "still read");
  const PngTexts allowed = read_png_text(golden("bomb.png"), {.max_text_bytes = 16 << 20});
  EXPECT_EQ(allowed.texts.size(), 2u);
}

TEST(PngText, AChunkOfAHundredMegabytesIsSkippedUnread) {
  const TemporaryFolder folder;
  const auto path = folder / "x.png";
  const uint32_t num_bytes = 100'000'000;
  std::ofstream(path) << png_head() << testing::big_endian(num_bytes) << "tEXt";
  std::filesystem::resize_file(path, png_head().size() + 12 + num_bytes);
  std::ofstream(path, std::ios::app) << png_chunk("tEXt", "k\0v"sv) << png_chunk("IEND", "");
  const PngTexts result = read_png_text(path);
  EXPECT_THAT(result.skipped, ElementsAre(HasSubstr("100000000 bytes are above the limit")));
  EXPECT_EQ(result.texts.size(), 1u);
}

TEST(PngText, AllTextsTogetherStayBelowTheTotal) {
  std::string chunks;
  for (int i = 0; i < 5; ++i) chunks += png_chunk("tEXt", "k\0"s + std::string(100, 'x'));
  const PngTexts result = read_png_text(as_byte_span(png_file(chunks)), "x", {.max_total_bytes = 250});
  EXPECT_EQ(result.texts.size(), 2u);
  EXPECT_EQ(result.skipped.size(), 3u);
}

TEST(PngText, DamagedTextsAreSkippedWithTheReason) {
  std::string wrong_crc = png_chunk("tEXt", "k\0v"sv);
  wrong_crc.back() ^= 1;
  const struct {
    std::string chunk;
    const char* reason;
  } cases[] = {
      {wrong_crc, "CRC"},
      {png_chunk("tEXt", "no separator"), "keyword"},
      {png_chunk("tEXt", ""), "keyword"},
      {png_chunk("tEXt", "\0v"sv), "keyword"},
      {png_chunk("tEXt", std::string(80, 'k') + '\0'), "keyword"},
      {png_chunk("zTXt", "k\0"sv), "compression method"},
      {png_chunk("zTXt", "k\0\1x"sv), "compression method"},
      {png_chunk("zTXt", "k\0\0not zlib"sv), "damaged"},
      {png_chunk("zTXt", "k\0\0\x78\x9c"sv), "damaged"},
      {png_chunk("iTXt", "k\0"sv), "compression flag"},
      {png_chunk("iTXt", "k\0\2\0\0\0v"sv), "compression flag"},
      {png_chunk("iTXt", "k\0\0"sv), "compression method"},
      {png_chunk("iTXt", "k\0\0\0en"sv), "language"},
      {png_chunk("iTXt", "k\0\0\0\0\0\xff"sv), "UTF-8"},
  };
  for (const auto& c : cases) {
    const PngTexts result = read(png_file(c.chunk));
    EXPECT_THAT(result.texts, IsEmpty()) << c.reason;
    EXPECT_THAT(result.skipped, ElementsAre(HasSubstr(c.reason)));
  }
}

TEST(PngText, FilesThatAreNoPngAreRefused) {
  EXPECT_REFUSED(DataError, read(""), "signature");
  EXPECT_REFUSED(DataError, read("\x89PNG\r\n\x1a\n"), "truncated");
  EXPECT_REFUSED(DataError, read(png_head()), "truncated");
  EXPECT_REFUSED(DataError, read(png_head() + "\xff\xff\xff\xfftEXt...."), "states 4294967295 bytes");
  EXPECT_REFUSED(DataError, read(png_head() + std::string("\0\0\0\0a1Xt....", 12)), "four letters");
  EXPECT_REFUSED(DataError, read("\x89PNG\r\n\x1a\n" + png_chunk("tEXt", "k\0v"sv)), "IHDR");
  std::string many;
  for (int i = 0; i < 11; ++i) many += png_chunk("IDAT", "");
  EXPECT_REFUSED(DataError, read_png_text(as_byte_span(png_file(many)), "x", {.max_chunks = 10}), "at most 10");
}

TEST(PngText, HostileJsonInOurOwnChunkIsOnlyText) {
  const std::string deep(100'000, '[');
  const PngTexts result = read(insert(png_file(""), {{"polyphony", deep}}));
  ASSERT_EQ(result.texts.size(), 1u);
  EXPECT_REFUSED(DataError, parse_strict_json(result.texts[0].text, "x.png"), "[x.png]", "nested at most");
}

}  // namespace
}  // namespace polyphony::formats
