// SPDX-License-Identifier: Apache-2.0
// JSON from files that nobody vouches for: bounded depth and size, every key once, nothing after the end.
#pragma once
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

namespace polyphony::formats {

struct JsonLimits {
  size_t max_bytes = 100'000'000;
  size_t max_depth = 64;
};

// `where` starts the messages (a file name). A leading byte order mark is skipped.
// Throws DataError for a syntax error (with its byte), a key twice, and text beyond the limits.
nlohmann::json parse_strict_json(std::string_view text, std::string_view where, const JsonLimits& limits = {});

}  // namespace polyphony::formats
