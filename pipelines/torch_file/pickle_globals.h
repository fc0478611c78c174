// SPDX-License-Identifier: Apache-2.0
// The names that a checkpoint's pickle may mention, and what each stands for here. Nothing of Python is ever called.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/formats/dtype.h"

namespace polyphony::torch_file {

enum class GlobalRole : uint8_t {
  ordered_dict,       // a call gives a dict
  default_dict,       // the same; its first argument is the factory
  rebuild_tensor,     // (storage, offset, sizes, strides, ...)
  rebuild_tensor_v3,  // the same and at [6] the element type, for types without a storage class of their own
  rebuild_parameter,  // (tensor, ...)
  size,               // torch.Size: (tuple)
  storage_class,      // in persistent ids only
  dtype,              // torch.float32 and so on
  inert,              // a call gives an opaque value; arguments and state are swallowed
};

struct AllowedGlobal {
  std::string_view module;
  std::string_view name;
  GlobalRole role = GlobalRole::inert;
  std::optional<formats::DType> dtype = {};  // of storage_class (empty: untyped) and dtype
};

// Null if there is no such row: the name is not allowed.
const AllowedGlobal* find_allowed_global(std::string_view module, std::string_view name);

}  // namespace polyphony::torch_file
