// SPDX-License-Identifier: Apache-2.0
#include "modalities/text/sentencepiece/sp_library.h"

#include <dlfcn.h>

#include "core/check.h"
#include "modalities/text/sentencepiece/sp_bridge.h"

namespace polyphony::text {
namespace {

using OpenLibrary = void* (*)(const char* file, int flags);

// Sanitizers replace dlopen by one that refuses deep binding; libc's own is asked for by name.
OpenLibrary libc_dlopen() {
  void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  void* symbol = libc == nullptr ? nullptr : dlsym(libc, "dlopen");
  return symbol == nullptr ? dlopen : reinterpret_cast<OpenLibrary>(symbol);
}

// RTLD_LOCAL keeps SentencePiece's symbols from everyone else, RTLD_DEEPBIND keeps everyone else's from SentencePiece.
const PolyphonySpApi& open_api() {
  void* library = libc_dlopen()(POLYPHONY_SP_BRIDGE, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (library == nullptr) fail<DataError>("[tokenizer] cannot open ", POLYPHONY_SP_BRIDGE, ": ", dlerror());
  void* symbol = dlsym(library, "polyphony_sentencepiece_api");
  check<DataError>(symbol != nullptr, "[tokenizer] ", POLYPHONY_SP_BRIDGE, " is not Polyphony's SentencePiece library");
  return *reinterpret_cast<PolyphonySpGetApi>(symbol)();
}

// Opened at first use and kept for the life of the process.
const PolyphonySpApi& api() {
  static const PolyphonySpApi& opened = open_api();
  return opened;
}

PolyphonySpText text_of(std::string_view text) { return {text.data(), text.size()}; }

PolyphonySpSink sink_of(std::string& out) {
  return {&out, [](void* context, const void* bytes, size_t size) {
            static_cast<std::string*>(context)->append(static_cast<const char*>(bytes), size);
          }};
}

PolyphonySpSink sink_of(std::vector<int32_t>& out) {
  return {&out, [](void* context, const void* bytes, size_t size) {
            const auto* ids = static_cast<const int32_t*>(bytes);
            auto& all = *static_cast<std::vector<int32_t>*>(context);
            all.insert(all.end(), ids, ids + size / sizeof(int32_t));
          }};
}

}  // namespace

SpModel::SpModel(std::string_view model_bytes) {
  std::string error;
  PolyphonySpModel* model = api().load(text_of(model_bytes), sink_of(error));
  check<DataError>(model != nullptr, "[tokenizer] SentencePiece refused the model: ", error);
  model_ = std::shared_ptr<PolyphonySpModel>(model, api().destroy);
}

std::vector<int32_t> SpModel::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  std::string error;
  const int ok = api().encode(model_.get(), text_of(text), sink_of(ids), sink_of(error));
  check<DataError>(ok == 1, "[tokenizer] SentencePiece cannot encode the text: ", error);
  return ids;
}

std::string SpModel::decode(std::span<const int32_t> ids) const {
  std::string text, error;
  const int ok = api().decode(model_.get(), ids.data(), ids.size(), sink_of(text), sink_of(error));
  check<DataError>(ok == 1, "[tokenizer] SentencePiece cannot decode the ids: ", error);
  return text;
}

std::string sp_train(std::span<const std::string> sentences, std::span<const SpOption> options) {
  std::vector<PolyphonySpText> lines, pairs;
  for (const std::string& sentence : sentences) lines.push_back(text_of(sentence));
  for (const auto& [key, value] : options) {
    pairs.push_back(text_of(key));
    pairs.push_back(text_of(value));
  }
  std::string model, error;
  const int ok = api().train(lines.data(), lines.size(), pairs.data(), pairs.size(), sink_of(model), sink_of(error));
  check<DataError>(ok == 1, "[tokenizer] SentencePiece cannot train: ", error);
  return model;
}

}  // namespace polyphony::text
