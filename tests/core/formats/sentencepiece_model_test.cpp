// SPDX-License-Identifier: Apache-2.0
#include "core/formats/sentencepiece_model.h"

#include <gmock/gmock.h>

#include <bit>
#include <limits>

#include "core/error.h"

namespace polyphony::formats {
namespace {

using ::testing::HasSubstr;

// A writer of the wire format, so that each test can break one thing.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string number(uint32_t field, uint64_t value) { return varint(field << 3) + varint(value); }
std::string message(uint32_t field, const std::string& body) {
  return varint(field << 3 | 2) + varint(body.size()) + body;
}
std::string float_field(uint32_t field, float value) {
  std::string out = varint(field << 3 | 5);
  for (auto bits = std::bit_cast<uint32_t>(value); out.size() < 5; bits >>= 8) out += static_cast<char>(bits & 0xff);
  return out;
}
std::string piece(const std::string& text, PieceKind kind = PieceKind::normal, float score = -1) {
  return message(1, message(1, text) + float_field(2, score) + number(3, static_cast<uint64_t>(kind)));
}
const std::string kUnknown = piece("<unk>", PieceKind::unknown);
const std::string kControls = piece("<s>", PieceKind::control) + piece("</s>", PieceKind::control);
const std::string kNormalizer = message(3, message(1, "identity"));
constexpr uint64_t kMinusOne = ~uint64_t{0};

std::string model(const std::string& pieces, const std::string& trainer = number(3, 2)) {
  return kUnknown + kControls + pieces + message(2, trainer) + kNormalizer;
}

std::string refusal(const std::string& bytes) {
  try {
    parse_sentencepiece_model(bytes, "x.model");
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(SentencePieceModel, ReadsPiecesKindsAndSpecialIds) {
  const auto parsed =
      parse_sentencepiece_model(model(piece("a") + piece("<image>", PieceKind::user_defined, 0)), "x.model");
  ASSERT_EQ(parsed.pieces.size(), 5);
  EXPECT_EQ(parsed.pieces[3].text, "a");
  EXPECT_EQ(parsed.pieces[3].score, -1);
  EXPECT_EQ(parsed.pieces[4].kind, PieceKind::user_defined);
  EXPECT_EQ(parsed.type, SentencePieceType::bpe);
  EXPECT_EQ(parsed.unk_id, 0);
  EXPECT_EQ(parsed.bos_id, 1);
  EXPECT_EQ(parsed.eos_id, 2);
  EXPECT_EQ(parsed.pad_id, -1);
}

TEST(SentencePieceModel, WithoutUserDefinedChangesOnlyTheirKind) {
  const std::string bytes = model(piece("a") + piece("<image>", PieceKind::user_defined, 0));
  const std::string plain = without_user_defined(bytes, parse_sentencepiece_model(bytes, "x.model"));
  ASSERT_EQ(plain.size(), bytes.size());
  const auto parsed = parse_sentencepiece_model(plain, "x.model");
  EXPECT_EQ(parsed.pieces[4].kind, PieceKind::unused);
  EXPECT_EQ(parsed.pieces[4].text, "<image>");
  EXPECT_EQ(parsed.pieces[3].kind, PieceKind::normal);
}

TEST(SentencePieceModel, RefusesEveryTruncation) {
  const std::string bytes = model(piece("a") + piece("b"));
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_NE(refusal(bytes.substr(0, size)), "accepted") << size;
}

TEST(SentencePieceModel, SurvivesEveryByteChanged) {
  const std::string bytes = model(piece("a") + piece("b"));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(value);
      EXPECT_NO_THROW(refusal(changed));
    }
  }
}

TEST(SentencePieceModel, RefusesPiecesThatSentencePieceMustNotSee) {
  EXPECT_THAT(refusal(model(piece(std::string(200'000, 'a')))),
              HasSubstr("piece 3 must have at most 4096 bytes, got 200000"));
  EXPECT_THAT(refusal(model(piece(""))), HasSubstr("piece 3 must be UTF-8 text that is not empty"));
  EXPECT_THAT(refusal(model(piece("\xff"))), HasSubstr("UTF-8"));
  EXPECT_THAT(refusal(model(piece(std::string("a\0b", 3)))), HasSubstr("NUL"));
  EXPECT_THAT(refusal(model(piece("a") + piece("a"))), HasSubstr("piece 4 occurs twice"));
  EXPECT_THAT(refusal(model(piece("a", PieceKind::normal, std::numeric_limits<float>::quiet_NaN()))),
              HasSubstr("finite score"));
  EXPECT_THAT(refusal(model(piece("a", PieceKind::normal, std::numeric_limits<float>::infinity()))),
              HasSubstr("finite score"));
  EXPECT_THAT(refusal(model(piece("a", static_cast<PieceKind>(7)))), HasSubstr("kind of 1 to 6, got 7"));
}

TEST(SentencePieceModel, RefusesAWrongSetOfSpecialPieces) {
  EXPECT_THAT(refusal(model(piece("b", PieceKind::unknown))), HasSubstr("exactly one unknown piece, got 2"));
  EXPECT_THAT(refusal(kControls + message(2, "") + kNormalizer), HasSubstr("exactly one unknown piece, got 0"));
  EXPECT_THAT(refusal(model("", number(41, 99))), HasSubstr("bos_id must be -1 or inside the vocabulary of 3, got 99"));
  EXPECT_THAT(refusal(model("", number(42, kMinusOne - 4))), HasSubstr("eos_id must be -1"));
  EXPECT_EQ(refusal(model("", number(41, kMinusOne))), "accepted");
  EXPECT_THAT(refusal(model("", number(3, 9))), HasSubstr("model_type must be 1 to 4, got 9"));
  EXPECT_THAT(refusal(kUnknown + kControls + kNormalizer), HasSubstr("lacks one"));
}

TEST(SentencePieceModel, RefusesWrongBytePieces) {
  const std::string fallback = number(35, 1);
  for (const char* text : {"<0x-1>", "<0xGG>", "<0x1>", "<0xab>", "0x41"})
    EXPECT_THAT(refusal(model(piece(text, PieceKind::byte), fallback)), HasSubstr("must read <0x00> to <0xFF>"))
        << text;
  EXPECT_THAT(refusal(model(piece("<0x41>", PieceKind::byte))), HasSubstr("in a model with byte_fallback"));
  EXPECT_THAT(refusal(model(piece("<0x41>", PieceKind::byte), fallback)), HasSubstr("all 256 byte pieces, got 1"));
  std::string all;
  for (const char high : std::string("0123456789ABCDEF"))
    for (const char low : std::string("0123456789ABCDEF"))
      all += piece(std::string("<0x") + high + low + ">", PieceKind::byte);
  EXPECT_EQ(refusal(model(all, fallback)), "accepted");
}

TEST(SentencePieceModel, RefusesWhatIsNotAMessage) {
  EXPECT_THAT(refusal(""), HasSubstr("empty file"));
  EXPECT_THAT(refusal(std::string(1, '\0')), HasSubstr("field number"));
  EXPECT_THAT(refusal(std::string(20, '\xff')), HasSubstr("longer one"));
  EXPECT_THAT(refusal("\x0b"), HasSubstr("wire type 0, 1, 2 or 5"));
  EXPECT_THAT(refusal("\x0a\x7f"), HasSubstr("expected 127 more bytes"));
  EXPECT_THAT(refusal("\x08\x01"), HasSubstr("must have wire type 2"));
}

}  // namespace
}  // namespace polyphony::formats
