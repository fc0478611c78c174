// SPDX-License-Identifier: Apache-2.0
#include "modalities/text/tokenizer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "core/base/files.h"
#include "core/error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::text {
namespace {

const std::vector<std::string>& corpus() {
  static const std::vector<std::string> sentences = [] {
    std::vector<std::string> out;
    for (const char* size : {"small", "big", "tiny"})
      for (const char* colour : {"red", "green", "blue", "yellow"})
        for (const char* shape : {"circle", "square", "triangle"})
          for (const char* place : {"left of", "right of", "above", "below"})
            out.push_back(std::string("a ") + size + " " + colour + " " + shape + " is " + place + " the blue square");
    return out;
  }();
  return sentences;
}

const TrainOptions kOptions{.vocab_size = 120, .user_defined = {"<image>", "<a,b>"}};
const std::string& trained_bytes() {
  static const std::string bytes = train_tokenizer(corpus(), kOptions);
  return bytes;
}
Tokenizer trained() { return Tokenizer::from_bytes(trained_bytes()); }

auto times(const std::vector<int64_t>& ids, int64_t id) { return std::count(ids.begin(), ids.end(), id); }

TEST(Tokenizer, DecodingUndoesEncoding) {
  const Tokenizer tokenizer = trained();
  for (const std::string& sentence : corpus()) EXPECT_EQ(tokenizer.decode(tokenizer.encode(sentence)), sentence);
}

TEST(Tokenizer, EveryKindCanBeTrainedAndUsed) {
  for (const auto kind : {TokenizerKind::unigram, TokenizerKind::bpe, TokenizerKind::word, TokenizerKind::character}) {
    const Tokenizer tokenizer = Tokenizer::from_bytes(train_tokenizer(corpus(), {.vocab_size = 100, .kind = kind}));
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(corpus()[0])), corpus()[0]);
    EXPECT_LE(tokenizer.vocab_size(), 100);
    EXPECT_EQ(tokenizer.pad_id(), 0);
    EXPECT_EQ(tokenizer.unk_id(), 1);
    EXPECT_EQ(tokenizer.bos_id(), 2);
    EXPECT_EQ(tokenizer.eos_id(), 3);
  }
}

TEST(Tokenizer, TrainingIsDeterministic) { EXPECT_EQ(train_tokenizer(corpus(), kOptions), trained_bytes()); }

TEST(Tokenizer, ExactVocabularyIsMetOrRefused) {
  EXPECT_EQ(Tokenizer::from_bytes(train_tokenizer(corpus(), {.vocab_size = 35, .exact_vocab_size = true})).vocab_size(),
            35);
  EXPECT_THROW(train_tokenizer(corpus(), {.vocab_size = 5000, .exact_vocab_size = true}), DataError);
  EXPECT_THROW(train_tokenizer(corpus(), {.vocab_size = 8}), DataError);
}

TEST(Tokenizer, AddsBeginAndEndWhereAsked) {
  const Tokenizer tokenizer = trained();
  const auto framed = tokenizer.encode("a red circle", {.add_bos = true, .add_eos = true});
  EXPECT_EQ(framed.front(), tokenizer.bos_id());
  EXPECT_EQ(framed.back(), tokenizer.eos_id());
  EXPECT_EQ(std::vector<int64_t>(framed.begin() + 1, framed.end() - 1), tokenizer.encode("a red circle"));
  EXPECT_EQ(tokenizer.decode(framed), "a red circle");
}

TEST(Tokenizer, SpecialPiecesInsideTextAreTextUnlessAllowed) {
  const Tokenizer tokenizer = trained();
  for (const char* symbol : {"<image>", "<a,b>"}) {
    const int64_t id = tokenizer.find(symbol).value();
    EXPECT_EQ(tokenizer.piece_kind(id), PieceKind::user_defined);
    const std::string text = std::string("a ") + symbol + " circle";
    const auto marked = tokenizer.encode(text, {.allow_user_defined = true});
    EXPECT_EQ(times(tokenizer.encode(text), id), 0);
    EXPECT_EQ(times(marked, id), 1);
    EXPECT_EQ(tokenizer.decode(marked), text);
  }
  for (const bool allowed : {false, true}) {
    const auto ids = tokenizer.encode("</s><s><pad>", {.allow_user_defined = allowed});
    for (const int64_t control : {tokenizer.eos_id(), tokenizer.bos_id(), tokenizer.pad_id()})
      EXPECT_EQ(times(ids, control), 0);
  }
}

TEST(Tokenizer, TakesAnyBytesAsText) {
  const Tokenizer tokenizer = trained();
  EXPECT_TRUE(tokenizer.encode("").empty());
  EXPECT_TRUE(tokenizer.encode("   ").empty());
  std::string combining = "a";
  for (int i = 0; i < 100'000; ++i) combining += "\u0301";
  const std::string texts[] = {
      "\xff\xfe red", "\xed\xa0\x80", std::string("a\0b", 3), combining, "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7",
      "\xe2\x82"};
  for (const std::string& text : texts) {
    for (const int64_t id : tokenizer.encode(text)) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, tokenizer.vocab_size());
    }
  }
}

TEST(Tokenizer, LongTextTakesLinearTime) {
  const Tokenizer tokenizer = trained();
  std::string text;
  while (text.size() < 4'000'000) text += corpus()[text.size() % 100] + " ";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_GT(tokenizer.encode(text).size(), 100'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  EXPECT_THROW(tokenizer.encode(std::string(kMaxTextBytes + 1, 'a')), DataError);
}

TEST(Tokenizer, RefusesIdsOutsideItsVocabulary) {
  const Tokenizer tokenizer = trained();
  for (const int64_t id : {int64_t{-1}, tokenizer.vocab_size(), int64_t{1} << 40}) {
    EXPECT_THROW(tokenizer.decode(std::vector<int64_t>{1, id}), DataError);
    EXPECT_THROW(tokenizer.piece(id), DataError);
  }
  EXPECT_NO_THROW(tokenizer.decode(std::vector<int64_t>(1'000'000, 5)));
}

TEST(Tokenizer, BytePiecesKeepCharactersThatHaveNoPiece) {
  const Tokenizer tokenizer =
      Tokenizer::from_bytes(train_tokenizer(corpus(), {.vocab_size = 400, .byte_fallback = true}));
  const std::string text = "a \xE4\xB8\xAD circle";
  const auto ids = tokenizer.encode(text);
  EXPECT_EQ(times(ids, tokenizer.unk_id()), 0);
  EXPECT_EQ(tokenizer.decode(ids), text);
}

TEST(Tokenizer, IdentityNormalizationKeepsEverySpace) {
  const Tokenizer tokenizer =
      Tokenizer::from_bytes(train_tokenizer(corpus(), {.vocab_size = 100, .normalization = Normalization::identity}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a  red  circle ")), "a  red  circle ");
}

TEST(Tokenizer, ComesBackFromItsFile) {
  const testing::TemporaryFolder folder;
  const Tokenizer tokenizer = trained();
  write_file_atomic(folder / "tokenizer.model", tokenizer.model_bytes());
  EXPECT_EQ(Tokenizer::from_file(folder / "tokenizer.model").encode(corpus()[3]), tokenizer.encode(corpus()[3]));
  EXPECT_THROW(Tokenizer::from_file(folder / "missing.model"), DataError);
  EXPECT_THROW(Tokenizer::from_file(folder.path()), DataError);
}

TEST(Tokenizer, SurvivesTruncationOfAModelFile) {
  const std::string& bytes = trained_bytes();
  int64_t accepted = 0;
  // The normaliser table makes most of the file: every cut in the first and last parts, some in between.
  for (size_t size = 0; size < bytes.size(); size += size < 1200 || bytes.size() - size < 300 ? 1 : 4999) {
    try {
      Tokenizer::from_bytes(bytes.substr(0, size)).encode("a red circle");
      ++accepted;
    } catch (const DataError&) {
      continue;
    }
  }
  EXPECT_LE(accepted, 1) << "only a cut before the last, empty section leaves a whole model";
}

TEST(Tokenizer, ManyThreadsMayShareOne) {
  const Tokenizer tokenizer = trained();
  const auto expected = tokenizer.encode(corpus()[7]);
  std::vector<std::thread> threads;
  std::array<int, 4> right{};
  for (int& count : right)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) count += Tokenizer(tokenizer).encode(corpus()[7]) == expected;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(right, ::testing::Each(200));
}

TEST(TrainTokenizer, RefusesOptionsAndSentencesThatCannotWork) {
  EXPECT_THROW(train_tokenizer({}, {}), DataError);
  EXPECT_THROW(train_tokenizer(std::vector<std::string>{"", "  "}, {}), DataError);
  const std::vector<std::string> nothing_left = {"\xE2\x80\x8B", "\xE2\x96\x81"};  // zero-width and boundary marks
  EXPECT_THROW(train_tokenizer(nothing_left, {}), DataError);
  EXPECT_THROW(train_tokenizer(corpus(), {.vocab_size = 0}), ConfigError);
  EXPECT_THROW(train_tokenizer(corpus(), {.character_coverage = 0.5}), ConfigError);
  EXPECT_THROW(train_tokenizer(corpus(), {.unk_id = -1}), ConfigError);
  EXPECT_THROW(train_tokenizer(corpus(), {.pad_id = 1}), ConfigError);
  EXPECT_THROW(train_tokenizer(corpus(), {.user_defined = {"<x>", "<x>"}}), ConfigError);
  EXPECT_THROW(train_tokenizer(corpus(), {.user_defined = {"</s>"}}), ConfigError);
  EXPECT_THROW(train_tokenizer(corpus(), {.user_defined = {""}}), ConfigError);
}

}  // namespace
}  // namespace polyphony::text
