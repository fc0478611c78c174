// SPDX-License-Identifier: Apache-2.0
// Local files in and out for this folder: addresses are refused, writes are atomic.
#pragma once
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace polyphony::image {

// Throws DataError for an address (scheme://, /vsi...), anything but a regular file, or more than max_bytes.
std::string read_local_file(const std::filesystem::path& path, size_t max_bytes);

// Throws DataError; leaves no partial file.
void write_local_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace polyphony::image
