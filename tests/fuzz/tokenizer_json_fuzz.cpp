// SPDX-License-Identifier: Apache-2.0
// libFuzzer entry: any bytes as a tokenizer.json must give a tokenizer whose ids are inside it, or a DataError. The
// bytes of all 256 letters are put into a vocabulary that is there, so that the search gets beyond its check.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/unicode.h"
#include "core/error.h"
#include "core/formats/tokenizer_json.h"

namespace {

using namespace polyphony;

void check_ids(const formats::TokenizerJson& tokenizer) {
  const auto size = static_cast<int64_t>(tokenizer.bytes_of_id.size());
  const auto inside = [&](int64_t id) {
    if (id < 0 || id >= size) std::abort();
  };
  if (tokenizer.id_of_byte.size() != 256) std::abort();
  for (const auto id : tokenizer.id_of_byte) inside(id);
  for (const auto& merge : tokenizer.merges)
    for (const auto id : {merge.left, merge.right, merge.merged}) inside(id);
  for (const auto& token : tokenizer.added) inside(token.id);
  for (const auto id : tokenizer.before) inside(id);
  for (const auto id : tokenizer.after) inside(id);
}

// The same file with every byte's letter in its vocabulary, where it has one.
std::string with_all_bytes(std::string_view text) {
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("model") || !json["model"].is_object() || !json["model"].contains("vocab") ||
      !json["model"]["vocab"].is_object())
    return std::string(text);
  auto& vocab = json["model"]["vocab"];
  int64_t id = 1000;
  for (char32_t letter = 33; letter < 0x144; ++letter) {
    if ((letter > 126 && letter < 161) || letter == 173) continue;
    std::string name;
    append_utf8(name, letter);
    if (!vocab.contains(name)) vocab[name] = id++;
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void parse(std::string_view text) {
  try {
    check_ids(formats::parse_tokenizer_json(text, "fuzz"));
  } catch (const DataError&) {
    return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  normalise_nfc(bytes);
  parse(bytes);
  parse(with_all_bytes(bytes));
  return 0;
}
