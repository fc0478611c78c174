// SPDX-License-Identifier: Apache-2.0
// Reads and checks a SentencePiece .model file without SentencePiece, which trusts its input.
// Source: sentencepiece_model.proto and the charsmap layout of github.com/google/sentencepiece; protocol buffers' wire
// format.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polyphony::formats {

enum class PieceKind : uint8_t { normal = 1, unknown, control, user_defined, unused, byte };
enum class SentencePieceType : uint8_t { unigram = 1, bpe, word, character };

struct Piece {
  std::string text;
  float score = 0;
  PieceKind kind = PieceKind::normal;
  size_t kind_offset = 0;  // of the kind's byte in the file; 0 where the file leaves it out
};

struct SentencePieceModel {
  std::vector<Piece> pieces;  // the index is the id
  SentencePieceType type = SentencePieceType::unigram;
  bool byte_fallback = false;
  // Ids of the special tokens, -1 where the model has none. unk is always there.
  int64_t unk_id = -1, bos_id = -1, eos_id = -1, pad_id = -1;
};

inline constexpr size_t kMaxSentencePieceBytes = size_t{256} << 20;
inline constexpr size_t kMaxPieceBytes = 4096;  // SentencePiece recurses over a piece's length while loading

// Refuses, before SentencePiece sees them: truncated or malformed messages, a vocabulary that is empty, pieces that are
// empty, too long, not UTF-8, hold NUL or occur twice, scores that are not finite, not exactly one unknown piece,
// special ids outside the vocabulary, malformed or missing byte pieces, and a normaliser table whose trie points
// outside itself. `source` names the file in messages. Throws DataError.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& source);

// The same model with its user-defined pieces marked unused: ids stay, but text no longer matches them.
std::string without_user_defined(std::string bytes, const SentencePieceModel& model);

}  // namespace polyphony::formats
