// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back, with SentencePiece models of any kind; and how to train one.
// Source: SentencePiece (arXiv:1808.06226); unigram: Subword Regularization (arXiv:1804.10959).
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/formats/sentencepiece_model.h"

namespace polyphony::text {

using formats::PieceKind;

inline constexpr size_t kMaxTextBytes = size_t{64} << 20;

struct EncodeOptions {
  bool add_bos = false;  // where the model has the piece
  bool add_eos = false;
  // User-defined pieces such as <image> inside the text become their ids. Off for text from users: it is then ordinary
  // text. Control pieces such as </s> are ordinary text always.
  bool allow_user_defined = false;
};

// A value: copies share one immutable model, which any number of threads may use.
class Tokenizer {
 public:
  // Checks the bytes before SentencePiece sees them. `source` names the file in messages. Throws DataError.
  static Tokenizer from_bytes(std::string model_bytes, const std::string& source = "tokenizer model");
  static Tokenizer from_file(const std::filesystem::path& path);

  // Bytes that are not UTF-8 become U+FFFD. Throws DataError above kMaxTextBytes.
  std::vector<int64_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // Control pieces give no text. Throws DataError for an id outside the vocabulary.
  std::string decode(std::span<const int64_t> ids) const;

  int64_t vocab_size() const;
  int64_t unk_id() const;
  int64_t bos_id() const;  // -1: the model has none; likewise eos and pad
  int64_t eos_id() const;
  int64_t pad_id() const;
  // Throws DataError for an id outside the vocabulary.
  const std::string& piece(int64_t id) const;
  PieceKind piece_kind(int64_t id) const;
  std::optional<int64_t> find(std::string_view piece) const;

  // The model file, for saving beside a checkpoint.
  const std::string& model_bytes() const;

 private:
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

enum class TokenizerKind { unigram, bpe, word, character };
enum class Normalization { nfkc, identity };  // nfkc also joins runs of white space

struct TrainOptions {
  int64_t vocab_size = 8000;  // with exact_vocab_size false, an upper bound that small texts do not reach
  TokenizerKind kind = TokenizerKind::unigram;
  bool exact_vocab_size = false;
  double character_coverage = 1.0;  // share of the characters seen that get a piece
  bool byte_fallback = false;       // characters without a piece become byte pieces instead of unk
  Normalization normalization = Normalization::nfkc;
  std::vector<std::string> user_defined{};                 // pieces that are never split, such as <image>
  int64_t pad_id = 0, unk_id = 1, bos_id = 2, eos_id = 3;  // -1 leaves pad, bos or eos out
};

// The bytes of a model trained on the sentences, empty ones ignored. Deterministic: one thread, no sampling.
// Throws ConfigError for options out of range, DataError for sentences that no such model can be trained on.
std::string train_tokenizer(std::span<const std::string> sentences, const TrainOptions& options);

}  // namespace polyphony::text
