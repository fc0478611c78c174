// SPDX-License-Identifier: Apache-2.0
#include "core/formats/sentencepiece_model.h"

#include <array>
#include <cmath>
#include <optional>
#include <unordered_set>

#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/protobuf_wire.h"
#include "core/formats/sentencepiece_charsmap.h"

namespace polyphony::formats {
namespace {

// Field numbers of sentencepiece_model.proto.
namespace model_field {
enum : uint32_t { pieces = 1, trainer = 2, normalizer = 3, denormalizer = 5 };
}
namespace piece_field {
enum : uint32_t { text = 1, score = 2, kind = 3 };
}
namespace trainer_field {
enum : uint32_t { type = 3, byte_fallback = 35, unk_id = 40, bos_id = 41, eos_id = 42, pad_id = 43 };
}
namespace normalizer_field {
enum : uint32_t { charsmap = 2 };
}

// The value of "<0xAB>", two upper-case digits; nothing for any other text.
std::optional<uint8_t> byte_value(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  int value = 0;
  for (const char digit : text.substr(3, 2)) {
    const size_t nibble = std::string_view("0123456789ABCDEF").find(digit);
    if (nibble == std::string_view::npos) return std::nullopt;
    value = value * 16 + static_cast<int>(nibble);
  }
  return static_cast<uint8_t>(value);
}

class Parser {
 public:
  explicit Parser(std::string_view bytes) : bytes_(bytes) {}

  SentencePieceModel parse() {
    check<DataError>(!bytes_.empty(), "expected a model, got an empty file");
    check<DataError>(bytes_.size() <= kMaxSentencePieceBytes, "expected at most ", kMaxSentencePieceBytes,
                     " bytes, got ", bytes_.size());
    bool has_trainer = false, has_normalizer = false;
    WireReader reader(bytes_);
    for (WireField field; reader.next(field);) {
      switch (field.number) {
        case model_field::pieces:
          read_piece(field);
          break;
        case model_field::trainer:
          read_trainer(field);
          has_trainer = true;
          break;
        case model_field::normalizer:
          has_normalizer = true;
          [[fallthrough]];
        case model_field::denormalizer:
          read_normalizer(field);
          break;
        default:
          break;
      }
    }
    check<DataError>(has_trainer && has_normalizer && !model_.pieces.empty(),
                     "expected pieces, a trainer and a normaliser section, got a file that lacks one");
    check_vocabulary();
    check_special_ids();
    return std::move(model_);
  }

 private:
  WireReader section(const WireField& field) const {
    require_type(field, WireType::bytes);
    return WireReader(field.bytes);
  }
  void require_type(const WireField& field, WireType type) const {
    check<DataError>(field.type == type, "field ", field.number, " must have wire type ", static_cast<int>(type),
                     ", got ", static_cast<int>(field.type));
  }
  int64_t int32_of(const WireField& field) const {
    require_type(field, WireType::varint);
    return static_cast<int32_t>(field.varint);
  }

  void read_piece(const WireField& message) {
    Piece piece;
    WireReader reader = section(message);
    const size_t id = model_.pieces.size();
    for (WireField field; reader.next(field);) {
      switch (field.number) {
        case piece_field::text:
          require_type(field, WireType::bytes);
          check<DataError>(field.bytes.size() <= kMaxPieceBytes, "piece ", id, " must have at most ", kMaxPieceBytes,
                           " bytes, got ", field.bytes.size());
          piece.text = field.bytes;
          break;
        case piece_field::score:
          require_type(field, WireType::fixed32);
          piece.score = field.fixed32;
          break;
        case piece_field::kind:
          require_type(field, WireType::varint);
          check<DataError>(field.varint >= 1 && field.varint <= 6, "piece ", id, " must have a kind of 1 to 6, got ",
                           field.varint);
          piece.kind = static_cast<PieceKind>(field.varint);
          piece.kind_offset = message.offset + field.offset;
          // One byte, so that without_user_defined can change it in place.
          check<DataError>(static_cast<uint64_t>(bytes_[piece.kind_offset]) == field.varint, "the kind of piece ", id,
                           " must be written in one byte");
          break;
        default:
          break;
      }
    }
    check<DataError>(!piece.text.empty() && piece.text.find('\0') == std::string::npos && is_utf8(piece.text), "piece ",
                     id, " must be UTF-8 text that is not empty and has no NUL");
    check<DataError>(std::isfinite(piece.score), "piece ", id, " must have a finite score, got ", piece.score);
    model_.pieces.push_back(std::move(piece));
  }

  void read_trainer(const WireField& message) {
    WireReader reader = section(message);
    for (WireField field; reader.next(field);) {
      switch (field.number) {
        case trainer_field::type:
          check<DataError>(int32_of(field) >= 1 && int32_of(field) <= 4, "model_type must be 1 to 4, got ",
                           int32_of(field));
          model_.type = static_cast<SentencePieceType>(field.varint);
          break;
        case trainer_field::byte_fallback:
          model_.byte_fallback = int32_of(field) != 0;
          break;
        case trainer_field::unk_id:
          declared_[0] = int32_of(field);
          break;
        case trainer_field::bos_id:
          declared_[1] = int32_of(field);
          break;
        case trainer_field::eos_id:
          declared_[2] = int32_of(field);
          break;
        case trainer_field::pad_id:
          declared_[3] = int32_of(field);
          break;
        default:
          break;
      }
    }
  }

  void read_normalizer(const WireField& message) const {
    WireReader reader = section(message);
    for (WireField field; reader.next(field);) {
      if (field.number != normalizer_field::charsmap) continue;
      require_type(field, WireType::bytes);
      check_charsmap(field.bytes);
    }
  }

  void check_vocabulary() {
    std::unordered_set<std::string_view> texts;
    std::array<bool, 256> bytes_seen{};
    int64_t unknown = 0, byte_pieces = 0;
    for (size_t id = 0; id < model_.pieces.size(); ++id) {
      const Piece& piece = model_.pieces[id];
      check<DataError>(texts.insert(piece.text).second, "piece ", id, " occurs twice: ", piece.text);
      if (piece.kind == PieceKind::unknown) {
        ++unknown;
        model_.unk_id = static_cast<int64_t>(id);
      }
      if (piece.kind != PieceKind::byte) continue;
      const auto value = byte_value(piece.text);
      check<DataError>(value.has_value() && model_.byte_fallback, "byte piece ", id,
                       " must read <0x00> to <0xFF> in a model with byte_fallback, got ", piece.text);
      byte_pieces += bytes_seen[*value] ? 0 : 1;
      bytes_seen[*value] = true;
    }
    check<DataError>(unknown == 1, "expected exactly one unknown piece, got ", unknown);
    check<DataError>(!model_.byte_fallback || byte_pieces == 256, "byte_fallback needs all 256 byte pieces, got ",
                     byte_pieces);
  }

  // Ids as the file declares them; defaults as in the proto file.
  void check_special_ids() {
    constexpr std::array<const char*, 4> names = {"unk_id", "bos_id", "eos_id", "pad_id"};
    const auto size = static_cast<int64_t>(model_.pieces.size());
    for (size_t i = 0; i < names.size(); ++i)
      check<DataError>(declared_[i] >= -1 && declared_[i] < size, "", names[i],
                       " must be -1 or inside the vocabulary of ", size, ", got ", declared_[i]);
    const auto control_or_none = [&](int64_t id) {
      return id >= 0 && model_.pieces[static_cast<size_t>(id)].kind == PieceKind::control ? id : -1;
    };
    model_.bos_id = control_or_none(declared_[1]);
    model_.eos_id = control_or_none(declared_[2]);
    model_.pad_id = control_or_none(declared_[3]);
  }

  std::string_view bytes_;
  SentencePieceModel model_;
  std::array<int64_t, 4> declared_ = {0, 1, 2, -1};  // unk, bos, eos, pad
};

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& source) {
  try {
    return Parser(bytes).parse();
  } catch (const DataError& error) {
    fail<DataError>("[sentencepiece] ", source, ": ", error.what());
  }
}

std::string without_user_defined(std::string bytes, const SentencePieceModel& model) {
  for (const Piece& piece : model.pieces)
    if (piece.kind == PieceKind::user_defined) bytes[piece.kind_offset] = static_cast<char>(PieceKind::unused);
  return bytes;
}

}  // namespace polyphony::formats
