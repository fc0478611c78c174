// SPDX-License-Identifier: Apache-2.0
#include "modalities/text/tokenizer.h"

#include <unordered_map>

#include "core/base/files.h"
#include "core/check.h"
#include "modalities/text/sentencepiece/sp_library.h"

namespace polyphony::text {

struct Tokenizer::Impl {
  Impl(std::string model_bytes, const std::string& source)
      : bytes(std::move(model_bytes)),
        model(formats::parse_sentencepiece_model(bytes, source)),
        with_user_defined(bytes),
        plain(formats::without_user_defined(bytes, model)) {
    for (size_t id = 0; id < model.pieces.size(); ++id) id_of.emplace(model.pieces[id].text, static_cast<int64_t>(id));
  }
  const formats::Piece& piece(int64_t id) const {
    const auto size = static_cast<int64_t>(model.pieces.size());
    check<DataError>(id >= 0 && id < size, "[tokenizer] expected a token id in [0, ", size, "), got ", id);
    return model.pieces[static_cast<size_t>(id)];
  }

  std::string bytes;
  formats::SentencePieceModel model;
  std::unordered_map<std::string_view, int64_t> id_of;
  SpModel with_user_defined, plain;
};

Tokenizer Tokenizer::from_bytes(std::string model_bytes, const std::string& source) {
  return Tokenizer(std::make_shared<const Impl>(std::move(model_bytes), source));
}

Tokenizer Tokenizer::from_file(const std::filesystem::path& path) {
  return from_bytes(read_file(path, formats::kMaxSentencePieceBytes), path.string());
}

std::vector<int64_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  check<DataError>(text.size() <= kMaxTextBytes, "[tokenizer] expected a text of at most ", kMaxTextBytes,
                   " bytes, got ", text.size());
  const SpModel& model = options.allow_user_defined ? impl_->with_user_defined : impl_->plain;
  std::vector<int64_t> ids;
  if (options.add_bos && bos_id() >= 0) ids.push_back(bos_id());
  const auto pieces = model.encode(text);
  ids.insert(ids.end(), pieces.begin(), pieces.end());
  if (options.add_eos && eos_id() >= 0) ids.push_back(eos_id());
  return ids;
}

std::string Tokenizer::decode(std::span<const int64_t> ids) const {
  std::vector<int32_t> narrow;
  narrow.reserve(ids.size());
  for (const int64_t id : ids) {
    impl_->piece(id);
    narrow.push_back(static_cast<int32_t>(id));
  }
  return impl_->with_user_defined.decode(narrow);
}

int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(impl_->model.pieces.size()); }
int64_t Tokenizer::unk_id() const { return impl_->model.unk_id; }
int64_t Tokenizer::bos_id() const { return impl_->model.bos_id; }
int64_t Tokenizer::eos_id() const { return impl_->model.eos_id; }
int64_t Tokenizer::pad_id() const { return impl_->model.pad_id; }
const std::string& Tokenizer::piece(int64_t id) const { return impl_->piece(id).text; }
PieceKind Tokenizer::piece_kind(int64_t id) const { return impl_->piece(id).kind; }
const std::string& Tokenizer::model_bytes() const { return impl_->bytes; }

std::optional<int64_t> Tokenizer::find(std::string_view piece) const {
  const auto it = impl_->id_of.find(piece);
  if (it == impl_->id_of.end()) return std::nullopt;
  return it->second;
}

}  // namespace polyphony::text
