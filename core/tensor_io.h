// SPDX-License-Identifier: Apache-2.0
// Between files and tensors, and between tensors and modules. Weights travel as safetensors only: reading them can run
// no code.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/formats/dtype.h"

namespace polyphony {

using TensorMap = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

// Throws ShapeError for element types that safetensors lacks (complex, quantised).
formats::DType to_file_dtype(at::ScalarType dtype);
at::ScalarType to_tensor_dtype(formats::DType dtype);

// All tensors (CPU, contiguous) of a .safetensors file, of a .safetensors.index.json, or of a folder with
// model.safetensors, diffusion_pytorch_model.safetensors or a sharded form of one. `prefix`: only names that start with
// it, and it is cut off. Throws DataError; MemoryError naming the tensor that did not fit.
TensorMap load_tensors(const std::filesystem::path& path, std::string_view prefix = {});

// The metadata of such a file, without its tensors. Throws DataError.
Metadata load_metadata(const std::filesystem::path& path);

// One .safetensors file, all or nothing; any device and strides. Throws Error, ShapeError for an element type.
void save_tensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata = {});

// Parameters and buffers by their dotted names, detached, sharing memory with the module. A tensor that the module
// holds under several names appears once, under the first.
TensorMap state_of(const torch::nn::Module& module);

struct LoadOptions {
  std::string prefix{};  // only names of the map that start with it; it is cut off
  bool strict = true;    // missing and unexpected names are errors; otherwise they are reported
};

struct LoadReport {
  std::vector<std::string> missing;     // in the module, not in the map; the module's values stay
  std::vector<std::string> unexpected;  // in the map, not in the module
};

// Copies into the module's parameters and buffers, converting between floating types and between devices.
// Everything is checked first: on an error the module is unchanged. A name that is missing is no error where the module
// shares that tensor with a name that is there (tied weights).
// Throws DataError listing missing, unexpected and ill-shaped names (also when not strict: ill-shaped).
LoadReport load_into(torch::nn::Module& module, const TensorMap& tensors, const LoadOptions& options = {});

// The same from disk, one tensor at a time, so that the peak is the module and its largest tensor.
LoadReport load_into(torch::nn::Module& module, const std::filesystem::path& path, const LoadOptions& options = {});

// The same into tensors that need not be a module's own, such as slices of a bank under the names of a published file.
// `owner` names them in messages.
LoadReport load_into(const TensorMap& targets, std::string_view owner, const std::filesystem::path& path,
                     const LoadOptions& options = {});

// Names of floating tensors that hold NaN or infinity.
std::vector<std::string> non_finite_tensors(const TensorMap& tensors);

// Throws DataError listing them; `where` starts the message.
void check_finite(const TensorMap& tensors, std::string_view where);

}  // namespace polyphony
