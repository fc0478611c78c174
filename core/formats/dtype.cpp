// SPDX-License-Identifier: Apache-2.0
// The table of element types.
#include "core/formats/dtype.h"

#include <algorithm>
#include <array>

namespace polyphony::formats {
namespace {

struct DTypeRow {
  std::string_view name;
  uint64_t bytes;
};

constexpr std::array<DTypeRow, kNumDTypes> kRows = {{
    {"BOOL", 1},
    {"U8", 1},
    {"I8", 1},
    {"F8_E5M2", 1},
    {"F8_E4M3", 1},
    {"I16", 2},
    {"U16", 2},
    {"F16", 2},
    {"BF16", 2},
    {"I32", 4},
    {"U32", 4},
    {"F32", 4},
    {"F64", 8},
    {"I64", 8},
    {"U64", 8},
}};

constexpr std::array<std::string_view, 7> kUnsupported = {"F4",          "F6_E2M3",     "F6_E3M2", "F8_E8M0",
                                                          "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"};

}  // namespace

std::string_view dtype_name(DType dtype) { return kRows[static_cast<size_t>(dtype)].name; }

uint64_t dtype_bytes(DType dtype) { return kRows[static_cast<size_t>(dtype)].bytes; }

std::optional<DType> dtype_from_name(std::string_view name) {
  const auto row = std::ranges::find(kRows, name, &DTypeRow::name);
  if (row == kRows.end()) return std::nullopt;
  return static_cast<DType>(row - kRows.begin());
}

bool is_known_unsupported_dtype(std::string_view name) {
  return std::ranges::find(kUnsupported, name) != kUnsupported.end();
}

}  // namespace polyphony::formats
