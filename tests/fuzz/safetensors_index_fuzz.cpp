// SPDX-License-Identifier: Apache-2.0
// Fuzzes the index of sharded weights: no file name that is accepted leaves the folder.
#include <cstdint>
#include <cstdlib>

#include "core/error.h"
#include "core/formats/safetensors_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polyphony;
  try {
    const auto index = formats::parse_safetensors_index(as_text(std::as_bytes(std::span(data, size))), "fuzz");
    for (const auto& [name, shard] : index.shard_of) {
      if (shard.empty() || shard == ".." || shard.find('/') != std::string::npos) std::abort();
    }
  } catch (const DataError&) {
    return 0;
  }
  return 0;
}
