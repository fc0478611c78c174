// SPDX-License-Identifier: Apache-2.0
// Golden cases: models and ids made by the sentencepiece package with scripts/golden/sentencepiece_models.py.
#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "modalities/text/tokenizer.h"

namespace polyphony::text {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(POLYPHONY_SOURCE_DIR) / "tests/golden/sentencepiece";

class SentencePieceGolden : public ::testing::TestWithParam<std::string> {
 protected:
  Tokenizer tokenizer_ = Tokenizer::from_file(kFolder / (GetParam() + ".model"));
  nlohmann::json case_ = nlohmann::json::parse(read_file(kFolder / "cases.json", 1 << 20)).at(GetParam());
};

TEST_P(SentencePieceGolden, EncodesAndDecodesLikeThePackage) {
  EXPECT_EQ(tokenizer_.vocab_size(), case_.at("vocab_size").get<int64_t>());
  for (const auto& row : case_.at("texts")) {
    const auto text = row.at("text").get<std::string>();
    const auto ids = row.at("ids").get<std::vector<int64_t>>();
    EXPECT_EQ(tokenizer_.encode(text, {.allow_user_defined = true}), ids) << text;
    EXPECT_EQ(tokenizer_.decode(ids), row.at("decoded").get<std::string>()) << text;
  }
}

TEST_P(SentencePieceGolden, TextWithoutSymbolsIsTheSameInBothModes) {
  const std::string text = "the blue square is left of a tiny triangle";
  EXPECT_EQ(tokenizer_.encode(text), tokenizer_.encode(text, {.allow_user_defined = true}));
}

INSTANTIATE_TEST_SUITE_P(Models, SentencePieceGolden, ::testing::Values("unigram", "bpe", "word"),
                         [](const auto& model) { return model.param; });

}  // namespace
}  // namespace polyphony::text
