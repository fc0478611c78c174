// SPDX-License-Identifier: Apache-2.0
#include "modalities/text/text_sequence.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "modalities/text/tokenizer.h"

namespace polyphony::text {
namespace {

TEST(TextSequence, GivesEachTokenASpanOfItsOwn) {
  const std::vector<int64_t> ids = {7, 3, 9};
  const TokenSequence sequence = text_sequence(at::randn({3, 4}), ids);
  EXPECT_NO_THROW(check_token_sequence(sequence));
  EXPECT_TRUE(at::equal(sequence.token_id_T, at::tensor({7, 3, 9}, at::kLong)));
  EXPECT_TRUE(at::equal(sequence.span_T, at::arange(3)));
  EXPECT_TRUE(
      at::equal(sequence.position_TA, at::tensor({0., 0., 0., 1., 0., 0., 2., 0., 0.}, at::kFloat).view({3, 3})));
  EXPECT_EQ(tokens_of(sequence, Modality::text).numel(), 3);
}

TEST(TextSequence, MayBeEmpty) { EXPECT_NO_THROW(check_token_sequence(text_sequence(at::randn({0, 4}), {}))); }

TEST(TextSequence, RefusesOneIdTooMany) {
  EXPECT_THROW(text_sequence(at::randn({2, 4}), std::vector<int64_t>{1, 2, 3}), ShapeError);
}

// LibTorch and SentencePiece in one process: each must go on working after the other was used.
TEST(TextSequence, TensorsAndTokenizerShareAProcess) {
  const at::Tensor a = at::randn({64, 64});
  const at::Tensor before = a.matmul(a);
  const std::vector<std::string> sentences(20, "one voice and another voice sing");
  const Tokenizer tokenizer = Tokenizer::from_bytes(train_tokenizer(sentences, {.vocab_size = 40}));
  const auto ids = tokenizer.encode("one voice");
  const at::Tensor table = at::randn({tokenizer.vocab_size(), 8});
  const TokenSequence sequence = text_sequence(table.index_select(0, at::tensor(ids, at::kLong)), ids);
  EXPECT_EQ(sequence.num_tokens(), static_cast<int64_t>(ids.size()));
  EXPECT_TRUE(at::equal(a.matmul(a), before));
  EXPECT_THROW(a.matmul(at::randn({3, 3})), c10::Error);
}

}  // namespace
}  // namespace polyphony::text
