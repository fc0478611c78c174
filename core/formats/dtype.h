// SPDX-License-Identifier: Apache-2.0
// The element types of safetensors files, with their names on disk and sizes.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace polyphony::formats {

// In the order in which the reference implementation ranks them: its writer puts higher ranks first, so that every
// tensor starts at a multiple of its element size.
enum class DType : uint8_t {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64,
};
constexpr int kNumDTypes = 15;

// "BOOL", "U8", ... "F8_E4M3".
std::string_view dtype_name(DType dtype);
// Empty for names that we cannot hold.
std::optional<DType> dtype_from_name(std::string_view name);
// A name that the format defines but this library has no element type for (sub-byte and complex types).
bool is_known_unsupported_dtype(std::string_view name);
uint64_t dtype_bytes(DType dtype);

}  // namespace polyphony::formats
