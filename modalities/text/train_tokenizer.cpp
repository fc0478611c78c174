// SPDX-License-Identifier: Apache-2.0
// TrainOptions checked and turned into spm_train's options.
#include <algorithm>
#include <array>
#include <set>

#include "core/check.h"
#include "modalities/text/sentencepiece/sp_library.h"
#include "modalities/text/tokenizer.h"

namespace polyphony::text {
namespace {

constexpr std::array kKindNames = {"unigram", "bpe", "word", "char"};
constexpr std::array kNormalizationNames = {"nmt_nfkc", "identity"};
constexpr int64_t kMaxVocabSize = 1 << 22;
// spm_train skips longer sentences without a word.
constexpr size_t kMaxSentenceBytes = size_t{1} << 20;

std::string flag(bool value) { return value ? "true" : "false"; }

// One line of comma-separated values: each in quotes, quotes doubled.
std::string comma_separated(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) {
    out += out.empty() ? "\"" : ",\"";
    for (const char c : value) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    out += '"';
  }
  return out;
}

void check_options(const TrainOptions& o) {
  constexpr auto where = "[train_tokenizer] ";
  check<ConfigError>(o.vocab_size >= 1 && o.vocab_size <= kMaxVocabSize, where, "vocab_size must be in [1, ",
                     kMaxVocabSize, "], got ", o.vocab_size);
  check<ConfigError>(o.character_coverage >= 0.98 && o.character_coverage <= 1, where,
                     "character_coverage must be in [0.98, 1], got ", o.character_coverage);
  std::set<int64_t> ids;
  const std::pair<const char*, int64_t> specials[] = {
      {"pad_id", o.pad_id}, {"unk_id", o.unk_id}, {"bos_id", o.bos_id}, {"eos_id", o.eos_id}};
  for (const auto& [name, id] : specials) {
    check<ConfigError>(id >= -1 && id < o.vocab_size, where, name, " must be -1 or below vocab_size, got ", id);
    check<ConfigError>(id == -1 || ids.insert(id).second, where, name, " is taken by another special token: ", id);
  }
  check<ConfigError>(o.unk_id >= 0, where, "unk_id must be at least 0, got ", o.unk_id);
  std::set<std::string_view> seen = {"<pad>", "<unk>", "<s>", "</s>"};
  for (const std::string& piece : o.user_defined)
    check<ConfigError>(!piece.empty() && piece.size() <= formats::kMaxPieceBytes &&
                           piece.find('\0') == std::string::npos && seen.insert(piece).second,
                       where, "user_defined pieces must be distinct, without NUL and 1 to ", formats::kMaxPieceBytes,
                       " bytes long, got '", piece, "'");
}

// spm_train's options for a model of one kind.
std::vector<SpOption> options_of(const TrainOptions& o, TokenizerKind kind) {
  std::vector<SpOption> options = {
      {"model_type", kKindNames[static_cast<size_t>(kind)]},
      {"vocab_size", std::to_string(o.vocab_size)},
      {"hard_vocab_limit", flag(o.exact_vocab_size)},
      {"character_coverage", join(o.character_coverage)},
      {"byte_fallback", flag(o.byte_fallback)},
      {"normalization_rule_name", kNormalizationNames[static_cast<size_t>(o.normalization)]},
      {"pad_id", std::to_string(o.pad_id)},
      {"unk_id", std::to_string(o.unk_id)},
      {"bos_id", std::to_string(o.bos_id)},
      {"eos_id", std::to_string(o.eos_id)},
      {"max_sentence_length", std::to_string(kMaxSentenceBytes)},
      {"num_threads", "1"},
      {"shuffle_input_sentence", "false"},
      {"minloglevel", "3"},
  };
  if (o.normalization == Normalization::identity) options.emplace_back("remove_extra_whitespaces", "false");
  if (!o.user_defined.empty()) options.emplace_back("user_defined_symbols", comma_separated(o.user_defined));
  return options;
}

// The unigram trainer ends the process where normalising leaves no text; the character trainer, which only counts, does
// not.
void check_some_text_is_left(std::span<const std::string> sentences, const TrainOptions& o) {
  const auto counted =
      formats::parse_sentencepiece_model(sp_train(sentences, options_of(o, TokenizerKind::character)), "characters");
  const bool any = std::any_of(counted.pieces.begin(), counted.pieces.end(),
                               [](const formats::Piece& piece) { return piece.kind == PieceKind::normal; });
  check<DataError>(any, "[train_tokenizer] expected sentences with text, got characters that normalising removes");
}

}  // namespace

std::string train_tokenizer(std::span<const std::string> sentences, const TrainOptions& o) {
  check_options(o);
  std::vector<std::string> kept;
  for (const std::string& sentence : sentences) {
    check<DataError>(sentence.size() <= kMaxSentenceBytes, "[train_tokenizer] sentence ", &sentence - sentences.data(),
                     " must have at most ", kMaxSentenceBytes, " bytes, got ", sentence.size());
    if (sentence.find_first_not_of(" \t\r\n") != std::string::npos) kept.push_back(sentence);
  }
  check<DataError>(!kept.empty(), "[train_tokenizer] expected sentences with text, got none");
  if (o.kind == TokenizerKind::unigram) check_some_text_is_left(kept, o);
  return sp_train(kept, options_of(o, o.kind));
}

}  // namespace polyphony::text
