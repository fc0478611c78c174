// SPDX-License-Identifier: Apache-2.0
// What the two halves of tensor_io share.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "core/formats/safetensors_index.h"

namespace polyphony {

// One tensor of an opened set, CPU and contiguous. Throws DataError, MemoryError.
at::Tensor read_tensor(const formats::SafetensorsSet& set, const formats::SafetensorsSet::Entry& entry);

// "3: a, b, c": the number and the first few names.
std::string name_list(const std::vector<std::string>& names);

}  // namespace polyphony
