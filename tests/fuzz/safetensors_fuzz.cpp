// SPDX-License-Identifier: Apache-2.0
// Fuzzes the safetensors reader: any bytes are refused with a DataError or describe tensors that tile the file.
#include <cstdint>
#include <cstdlib>

#include "core/error.h"
#include "core/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polyphony;
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const auto header = formats::parse_safetensors_header(bytes);
    uint64_t end = header.data_begin;
    for (const auto& tensor : header.tensors) {
      if (header.data_begin + tensor.begin != end) std::abort();
      end += tensor.num_bytes();
    }
    if (end != size) std::abort();
  } catch (const DataError&) {
    return 0;
  }
  return 0;
}
