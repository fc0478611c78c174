// SPDX-License-Identifier: Apache-2.0
// Weights of a file or folder, whatever wrote them, offered one tensor at a time.
#pragma once
#include <filesystem>
#include <string>

#include "core/tensor_files.h"

namespace polyphony::pipelines {

struct WeightsSource {
  std::string state_dict = "top level";  // of a PyTorch file: which of its state dicts
  TensorOffer tensors = {};              // reading keeps the file open as long as this lives
};

// A .safetensors file, index or folder; or a PyTorch file, also as diffusion_pytorch_model.bin in a folder.
// Throws DataError.
WeightsSource open_weights(const std::filesystem::path& path);

TensorMap read_all(const WeightsSource& source);

}  // namespace polyphony::pipelines
