// SPDX-License-Identifier: Apache-2.0
// libFuzzer entry: any bytes as a SentencePiece model must give a model or a DataError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "core/formats/sentencepiece_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const auto model = polyphony::formats::parse_sentencepiece_model(bytes, "fuzz");
    polyphony::formats::without_user_defined(std::string(bytes), model);
  } catch (const polyphony::DataError&) {
    return 0;
  }
  return 0;
}
