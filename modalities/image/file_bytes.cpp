// SPDX-License-Identifier: Apache-2.0
#include "modalities/image/file_bytes.h"

#include <fstream>

#include "core/check.h"

namespace polyphony::image {

namespace fs = std::filesystem;

std::string read_local_file(const fs::path& path, size_t max_bytes) {
  const std::string name = path.string();
  check<DataError>(name.find("://") == std::string::npos && !name.starts_with("/vsi"),
                   "[file] expected a local file, got an address: ", name);
  std::error_code error;
  check<DataError>(fs::is_regular_file(path, error), "[file] expected a regular file, got ", name);
  const uintmax_t size = fs::file_size(path, error);
  check<DataError>(!error && size <= max_bytes, "[file] expected at most ", max_bytes, " bytes, got ", size, ": ",
                   name);
  std::string bytes(static_cast<size_t>(size), '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  check<DataError>(in.good() || (bytes.empty() && !in.bad()), "[file] expected ", size, " readable bytes: ", name);
  return bytes;
}

void write_local_file(const fs::path& path, std::string_view bytes) {
  const fs::path partial = path.string() + ".partial";
  {
    std::ofstream out(partial, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.flush();
    if (!out.good()) {
      std::error_code ignored;
      fs::remove(partial, ignored);
      fail<DataError>("[file] expected a writable file, got ", path.string());
    }
  }
  std::error_code error;
  fs::rename(partial, path, error);
  if (!error) return;
  std::error_code ignored;
  fs::remove(partial, ignored);
  fail<DataError>("[file] expected to rename onto ", path.string(), ", got: ", error.message());
}

}  // namespace polyphony::image
