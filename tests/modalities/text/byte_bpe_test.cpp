// SPDX-License-Identifier: Apache-2.0
#include "modalities/text/byte_bpe.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "core/base/files.h"
#include "core/error.h"
#include "tests/support/expect_error.h"

namespace polyphony::text {
namespace {

const std::string kGolden = POLYPHONY_SOURCE_DIR "/tests/golden/byte_bpe/";

ByteBpe golden(const std::string& name) { return ByteBpe::from_file(kGolden + name + ".json"); }
nlohmann::json golden_json(const std::string& name) {
  return nlohmann::json::parse(read_file(kGolden + name + ".json", 1 << 20));
}

TEST(ByteBpe, GivesTheIdsAndTextsOfTheTokenizersPackage) {
  for (const char* name : {"neox", "prefix"}) {
    const auto tokenizer = golden(name);
    for (const auto& item : golden_json(std::string(name) + "_cases")) {
      const auto text = item["text"].get<std::string>();
      const auto ids = item["ids"].get<std::vector<int64_t>>();
      EXPECT_EQ(tokenizer.encode(text, {.special = true}), ids) << name << ": " << text;
      EXPECT_EQ(tokenizer.decode(ids), item["decoded"].get<std::string>()) << name << ": " << text;
    }
  }
}

TEST(ByteBpe, TakesControlTokensOfUsersForText) {
  const auto tokenizer = golden("neox");
  const std::string text = "a<|endoftext|>b";
  const auto plain = tokenizer.encode(text), special = tokenizer.encode(text, {.special = true});
  EXPECT_EQ(special.size(), 3U);
  EXPECT_EQ(special[1], tokenizer.find_added("<|endoftext|>"));
  EXPECT_TRUE(tokenizer.is_special(special[1]));
  EXPECT_GT(plain.size(), 3U);
  for (const int64_t id : plain) EXPECT_FALSE(tokenizer.is_special(id));
  EXPECT_EQ(tokenizer.decode(plain), text);
  EXPECT_EQ(tokenizer.decode(special), text);
}

TEST(ByteBpe, KeepsAnyBytes) {
  auto json = golden_json("neox");
  json["normalizer"] = nullptr;  // composition may change characters
  const auto tokenizer = ByteBpe::from_json(json.dump());
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::string bytes(random() % 40, '\0');
    for (auto& byte : bytes) byte = static_cast<char>(round % 2 ? random() % 256 : " \n'aé\xcc\x81\x80"[random() % 9]);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)), bytes);
  }
}

TEST(ByteBpe, ComposesWhereTheFileSaysSo) {
  const auto tokenizer = golden("neox");
  EXPECT_EQ(tokenizer.encode("e\u0301"), tokenizer.encode("é"));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("e\xcc\x81\xff")), "é\xff");
}

TEST(ByteBpe, PutsItsTemplateAroundATextUnlessToldNotTo) {
  const auto tokenizer = golden("prefix");
  EXPECT_EQ(tokenizer.encode("a").front(), tokenizer.find_added("<|endoftext|>"));
  const auto bare = tokenizer.encode("a", {.template_ids = false});
  EXPECT_NE(bare.front(), tokenizer.find_added("<|endoftext|>"));
  EXPECT_EQ(bare.size() + 1, tokenizer.encode("a").size());
}

TEST(ByteBpe, GivesNoTextForIdsWithoutAToken) {
  const auto tokenizer = golden("neox");
  EXPECT_EQ(tokenizer.decode(std::vector<int64_t>{-1, tokenizer.vocab_size(), 1 << 30}), "");
}

TEST(ByteBpe, ReadsALongWordInLittleMoreThanItsLength) {
  const auto tokenizer = golden("neox");
  const std::string word(1 << 20, 'h');
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("t" + word + "e")), "t" + word + "e");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(ByteBpe, NamesWhatItCannotFollow) {
  struct Case {
    const char* pointer;
    nlohmann::json value;
    const char* word;
  };
  const std::vector<Case> cases = {
      {"/model/type", "Unigram", "must be BPE, got 'Unigram'"},
      {"/model/unk_token", "<unk>", "'unk_token'"},
      {"/model/byte_fallback", true, "'byte_fallback'"},
      {"/model/vocab/a", -1, "the id of 'a'"},
      {"/model/vocab/a", 5, "given twice"},
      {"/model/vocab/日", 900, "letters of bytes"},
      {"/model/vocab", nlohmann::json::object(), "'vocab'"},
      {"/model/merges/0", "th", "two tokens"},
      {"/model/merges/0", nlohmann::json::array({"zq", "q"}), "'zq'"},
      {"/model/merges", nullptr, "'merges'"},
      {"/normalizer", {{"type", "Lowercase"}}, "must be NFC, got 'Lowercase'"},
      {"/pre_tokenizer", {{"type", "Metaspace"}}, "one ByteLevel, got 'Metaspace'"},
      {"/pre_tokenizer", nullptr, "one ByteLevel, got 'none'"},
      {"/decoder", {{"type", "WordPiece"}}, "decoder must be ByteLevel"},
      {
          "/post_processor",
          {{"type", "BertProcessing"}},
          "post_processor",
      },
      {"/added_tokens/0/lstrip", true, "'lstrip'"},
      {"/added_tokens/0/id", 7, "another id"},
      {"/added_tokens/0/content", "", "1 to 4096 bytes"},
      {"/added_tokens", 3, "'added_tokens'"},
  };
  for (const auto& [pointer, value, word] : cases) {
    auto json = golden_json("neox");
    json[nlohmann::json::json_pointer(pointer)] = value;
    EXPECT_REFUSED(DataError, ByteBpe::from_json(json.dump(), "tokenizer.json"), "[tokenizer.json]", word) << pointer;
  }
  auto json = golden_json("neox");
  json["model"]["vocab"].erase("z");
  EXPECT_REFUSED(DataError, ByteBpe::from_json(json.dump()), "all 256 bytes", "'z'");
  EXPECT_REFUSED(DataError, ByteBpe::from_json("[1]"), "JSON object");
  EXPECT_REFUSED(DataError, ByteBpe::from_json("{"), "expected JSON");
}

}  // namespace
}  // namespace polyphony::text
