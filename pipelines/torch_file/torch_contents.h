// SPDX-License-Identifier: Apache-2.0
// Where a PyTorch file keeps its object and the bytes of its storages; the same for both forms of file.
// Source: torch/serialization.py of PyTorch 2.11, `_save` (zip, since 1.6) and `_legacy_save`.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/base/files.h"
#include "pipelines/torch_file/pickle.h"
#include "pipelines/torch_file/torch_zip.h"

namespace polyphony::torch_file {

struct TorchStorage {
  ZipEntry entry = {};
  bool needs_check = true;  // of its checksum, which the legacy form has not
};

struct TorchContents {
  Pickle object = {};
  std::map<std::string, TorchStorage, std::less<>> storages = {};  // by key
};

struct TorchLimits {
  PickleLimits pickle;
  ZipLimits zip;
};

// Reads everything but the storages' bytes. `where` starts the messages. Throws DataError; says so when the file is a
// TorchScript program, a tar archive, a plain pickle, or nothing of PyTorch's.
TorchContents read_torch_contents(uint64_t file_size, const ReadAt& read_at, std::string_view where,
                                  const TorchLimits& limits = {});

}  // namespace polyphony::torch_file
