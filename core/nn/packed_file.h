// SPDX-License-Identifier: Apache-2.0
// Packed matrices in a file beside the weights that they were packed from: packing is a pass over the model and for
// quantised formats a search, mapping what came of it is neither.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "core/base/files.h"
#include "core/base/mapped_file.h"
#include "core/ops/packed_product/packed_matrices.h"

namespace polyphony::nn {

// What a file must say of itself to be read. The key names all that the matrices depend on but their layout, whose
// version this file's code knows.
struct PackedFileHead {
  std::string key;
  int64_t bytes = 0;  // of all matrices together
};

// Of the steps of matrices of this shape; `steps` itself is not read.
int64_t packed_bytes(const ops::PackedMatrices& shape);

// Appears under its name whole or not at all. Throws Error when the disk refuses.
class PackedFileWriter {
 public:
  PackedFileWriter(const std::filesystem::path& path, const PackedFileHead& head);
  void add(const ops::PackedMatrices& matrices);
  void commit();

 private:
  AtomicFile file_;
};

class PackedFileReader {
 public:
  // Nothing where there is no such file, or one that is stale or cut: then `problem` says what is wrong with it.
  static std::optional<PackedFileReader> open(const std::filesystem::path& path, const PackedFileHead& head,
                                              std::string& problem);
  // The next matrices in the order in which they were added, of this shape; their memory is the file's.
  ops::PackedMatrices next(ops::PackedMatrices shape);

 private:
  explicit PackedFileReader(std::shared_ptr<const MappedFile> file);
  std::shared_ptr<const MappedFile> file_;
  size_t at_ = 0;
};

}  // namespace polyphony::nn
