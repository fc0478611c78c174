// SPDX-License-Identifier: Apache-2.0
// The tensors of a PyTorch checkpoint (.pt, .pth, .bin), read without LibTorch and without running anything in it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/formats/dtype.h"
#include "pipelines/torch_file/torch_contents.h"

namespace polyphony::torch_file {

// A view of a storage, as PyTorch has it: several may share one, and a stride may be 0.
struct TorchTensor {
  formats::DType dtype = formats::DType::f32;
  std::vector<int64_t> shape = {};
  std::vector<int64_t> strides = {};  // elements
  uint64_t storage_offset = 0;        // elements
  std::string storage_key = {};

  // Of all elements in C order. Does not overflow for the tensors of a TorchFile.
  uint64_t num_bytes() const;
};

// A checkpoint whose tensors have all been checked against their storages, kept open.
class TorchFile {
 public:
  static constexpr uint64_t kMaxTensorBytes = uint64_t{16} << 30;

  // Throws DataError, naming the tensor or the Python name at fault.
  static TorchFile open(const std::filesystem::path& path, const TorchLimits& limits = {});
  // The same from anything of known size. `where` starts the messages.
  static TorchFile parse(uint64_t file_size, ReadAt read_at, std::string where, const TorchLimits& limits = {});

  // The state dict: the first of `ema`, `model`, `state_dict` and `module` that is there and is a dict, or else the
  // object itself. What is no tensor is left out. The prefixes "module.", "_orig_mod." and "model." are taken off
  // where all names have them.
  const std::map<std::string, TorchTensor>& tensors() const { return tensors_; }
  // "ema", "model", "state_dict", "module" or "top level".
  const std::string& chosen() const { return chosen_; }
  const std::string& stripped_prefix() const { return stripped_prefix_; }

  // The elements in C order, little-endian. Throws DataError when they, or the part of the storage in which they lie,
  // have more than `max_bytes`, and when the storage's checksum is wrong (looked at once a storage). Not for several
  // threads at once.
  std::vector<std::byte> read(const TorchTensor& tensor, uint64_t max_bytes = kMaxTensorBytes);

 private:
  TorchFile() = default;
  void add_tensor(const Pickle& object, std::string_view name, const TensorNode& node);

  ReadAt read_at_;
  std::string where_;
  std::map<std::string, TorchStorage, std::less<>> storages_;
  std::map<std::string, TorchTensor> tensors_;
  std::string chosen_;
  std::string stripped_prefix_;
};

}  // namespace polyphony::torch_file
