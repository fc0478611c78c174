// SPDX-License-Identifier: Apache-2.0
// The zip container of PyTorch files: entries stored without compression, in a file without a byte to spare.
// Source: PKWARE APPNOTE 6.3.10. Narrower on purpose, so that no two readers can see different files: the entries and
// the directory tile the file, local headers agree with the directory, there is no comment, no compression, no
// encryption, no second volume, no name twice and no name that could leave a folder.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/files.h"

namespace polyphony::torch_file {

struct ZipEntry {
  std::string name;
  uint64_t offset = 0;  // of the data's first byte in the file
  uint64_t num_bytes = 0;
  uint32_t crc32 = 0;
};

struct ZipLimits {
  uint64_t max_entries = 500'000;
  size_t max_name_bytes = 1024;
  uint64_t max_directory_bytes = uint64_t{128} << 20;
};

// The entries in the order of the file. Reads headers only. `where` starts the messages. Throws DataError.
std::vector<ZipEntry> read_torch_zip(uint64_t file_size, const ReadAt& read_at, std::string_view where,
                                     const ZipLimits& limits = {});

// The bytes of one entry. Throws DataError when there are more than `max_bytes` or the checksum is wrong.
std::vector<std::byte> read_zip_entry(const ZipEntry& entry, const ReadAt& read_at, std::string_view where,
                                      uint64_t max_bytes);

// Reads the entry in pieces and throws DataError when its checksum is wrong.
void check_zip_entry(const ZipEntry& entry, const ReadAt& read_at, std::string_view where);

}  // namespace polyphony::torch_file
