// SPDX-License-Identifier: Apache-2.0
// What the two halves of tensor_io share, and loading from sources of another kind.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/formats/safetensors_index.h"
#include "core/tensor_io.h"

namespace polyphony {

// One tensor of an opened set, CPU and contiguous. Throws DataError, MemoryError.
at::Tensor read_tensor(const formats::SafetensorsSet& set, const formats::SafetensorsSet::Entry& entry);

// What a source holds of one tensor, before it is read.
struct OfferedTensor {
  std::vector<int64_t> shape = {};
  at::ScalarType dtype = at::kFloat;
  std::function<at::Tensor()> read = {};
};
using TensorOffer = std::map<std::string, OfferedTensor>;

// load_into from any source: everything is checked first, then one tensor is read at a time.
LoadReport load_into(const TensorMap& targets, std::string_view owner, const TensorOffer& offer,
                     const LoadOptions& options = {});

// "3: a, b, c": the number and the first few names.
std::string name_list(const std::vector<std::string>& names);

}  // namespace polyphony
