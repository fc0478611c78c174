// SPDX-License-Identifier: Apache-2.0
// SentencePiece in terms of standard types. Trusts its input: Tokenizer checks models, texts and ids before they come
// here.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct PolyphonySpModel;

namespace polyphony::text {

// A loaded model; immutable, so that any number of threads may share it.
class SpModel {
 public:
  // Throws DataError with SentencePiece's own message.
  explicit SpModel(std::string_view model_bytes);

  std::vector<int32_t> encode(std::string_view text) const;
  std::string decode(std::span<const int32_t> ids) const;

 private:
  std::shared_ptr<PolyphonySpModel> model_;
};

using SpOption = std::pair<std::string, std::string>;  // as of spm_train: {"vocab_size", "1000"}

// The bytes of a model trained on `sentences`. Throws DataError with SentencePiece's own message.
std::string sp_train(std::span<const std::string> sentences, std::span<const SpOption> options);

}  // namespace polyphony::text
