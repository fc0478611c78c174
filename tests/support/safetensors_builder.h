// SPDX-License-Identifier: Apache-2.0
// Handcrafted safetensors files, right and wrong.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace polyphony::testing {

inline std::string little_endian(uint64_t value) {
  std::string out;
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(value >> shift);
  return out;
}

// A file with this JSON text as header and `data_bytes` bytes after it.
inline std::string safetensors_file(std::string_view json, size_t data_bytes = 0) {
  return little_endian(json.size()) + std::string(json) + std::string(data_bytes, '\1');
}

// "name":{...}, the offsets as text so that they can be wrong.
inline std::string tensor_json(std::string_view name, std::string_view dtype, std::string_view shape,
                               std::string_view offsets) {
  std::string out = "\"";
  out += name;
  out += "\":{\"dtype\":\"";
  out += dtype;
  out += "\",\"shape\":";
  out += shape;
  out += ",\"data_offsets\":";
  out += offsets;
  return out + "}";
}

// A file with the one tensor "w".
inline std::string one_tensor_file(std::string_view dtype, std::string_view shape, std::string_view offsets,
                                   size_t data_bytes) {
  return safetensors_file("{" + tensor_json("w", dtype, shape, offsets) + "}", data_bytes);
}

}  // namespace polyphony::testing
