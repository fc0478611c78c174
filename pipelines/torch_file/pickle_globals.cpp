// SPDX-License-Identifier: Apache-2.0
// The allow-list itself. A row may be added only if its call can be replaced by a value.
#include "pipelines/torch_file/pickle_globals.h"

#include <algorithm>
#include <array>

namespace polyphony::torch_file {
namespace {

using formats::DType;
using enum GlobalRole;

constexpr std::array kDicts = {
    AllowedGlobal{"collections", "OrderedDict", ordered_dict},
    AllowedGlobal{"collections", "defaultdict", default_dict},
};

constexpr std::array kTorch = {
    AllowedGlobal{"torch._utils", "_rebuild_tensor", rebuild_tensor},
    AllowedGlobal{"torch._utils", "_rebuild_tensor_v2", rebuild_tensor},
    AllowedGlobal{"torch._utils", "_rebuild_tensor_v3", rebuild_tensor_v3},
    AllowedGlobal{"torch._utils", "_rebuild_parameter", rebuild_parameter},
    AllowedGlobal{"torch", "Size", size},
    AllowedGlobal{"torch", "device", inert},
    AllowedGlobal{"torch.torch_version", "TorchVersion", inert},
};

constexpr std::array kStorages = {
    AllowedGlobal{"torch", "DoubleStorage", storage_class, DType::f64},
    AllowedGlobal{"torch", "FloatStorage", storage_class, DType::f32},
    AllowedGlobal{"torch", "HalfStorage", storage_class, DType::f16},
    AllowedGlobal{"torch", "BFloat16Storage", storage_class, DType::bf16},
    AllowedGlobal{"torch", "LongStorage", storage_class, DType::i64},
    AllowedGlobal{"torch", "IntStorage", storage_class, DType::i32},
    AllowedGlobal{"torch", "ShortStorage", storage_class, DType::i16},
    AllowedGlobal{"torch", "CharStorage", storage_class, DType::i8},
    AllowedGlobal{"torch", "ByteStorage", storage_class, DType::u8},
    AllowedGlobal{"torch", "BoolStorage", storage_class, DType::boolean},
    AllowedGlobal{"torch.storage", "UntypedStorage", storage_class},
    AllowedGlobal{"torch.storage", "TypedStorage", storage_class},
};

constexpr std::array kDTypes = {
    AllowedGlobal{"torch", "float64", dtype, DType::f64},
    AllowedGlobal{"torch", "float32", dtype, DType::f32},
    AllowedGlobal{"torch", "float16", dtype, DType::f16},
    AllowedGlobal{"torch", "bfloat16", dtype, DType::bf16},
    AllowedGlobal{"torch", "float8_e4m3fn", dtype, DType::f8_e4m3},
    AllowedGlobal{"torch", "float8_e5m2", dtype, DType::f8_e5m2},
    AllowedGlobal{"torch", "int64", dtype, DType::i64},
    AllowedGlobal{"torch", "int32", dtype, DType::i32},
    AllowedGlobal{"torch", "int16", dtype, DType::i16},
    AllowedGlobal{"torch", "int8", dtype, DType::i8},
    AllowedGlobal{"torch", "uint64", dtype, DType::u64},
    AllowedGlobal{"torch", "uint32", dtype, DType::u32},
    AllowedGlobal{"torch", "uint16", dtype, DType::u16},
    AllowedGlobal{"torch", "uint8", dtype, DType::u8},
    AllowedGlobal{"torch", "bool", dtype, DType::boolean},
};

// What lies beside the weights in training checkpoints: arguments, optimiser settings, random states.
constexpr std::array kInert = {
    AllowedGlobal{"argparse", "Namespace"},
    AllowedGlobal{"types", "SimpleNamespace"},
    AllowedGlobal{"collections", "Counter"},
    AllowedGlobal{"pathlib", "Path"},
    AllowedGlobal{"pathlib", "PosixPath"},
    AllowedGlobal{"pathlib", "PurePosixPath"},
    AllowedGlobal{"pathlib", "WindowsPath"},
    AllowedGlobal{"pathlib._local", "PosixPath"},
    AllowedGlobal{"pathlib._local", "WindowsPath"},
    AllowedGlobal{"numpy", "dtype"},
    AllowedGlobal{"numpy", "ndarray"},
    AllowedGlobal{"numpy.core.multiarray", "scalar"},
    AllowedGlobal{"numpy.core.multiarray", "_reconstruct"},
    AllowedGlobal{"numpy._core.multiarray", "scalar"},
    AllowedGlobal{"numpy._core.multiarray", "_reconstruct"},
    AllowedGlobal{"_codecs", "encode"},           // how Python 3 writes bytes in protocols 0 to 2
    AllowedGlobal{"copy_reg", "_reconstructor"},  // how objects are made in protocols 0 and 1
    AllowedGlobal{"copyreg", "_reconstructor"},
};

constexpr std::array<std::string_view, 15> kInertBuiltins = {
    "bool", "bytearray", "bytes", "complex", "dict",  "float", "frozenset", "int",
    "list", "object",    "range", "set",     "slice", "str",   "tuple",
};

// The same names once for Python 3 and once for Python 2, whose spelling protocols 0 to 2 keep.
constexpr auto kBuiltins = [] {
  std::array<AllowedGlobal, 2 * kInertBuiltins.size()> rows;
  for (size_t i = 0; i < kInertBuiltins.size(); ++i) {
    rows[2 * i] = {"builtins", kInertBuiltins[i]};
    rows[2 * i + 1] = {"__builtin__", kInertBuiltins[i]};
  }
  return rows;
}();

template <size_t N>
const AllowedGlobal* find_in(const std::array<AllowedGlobal, N>& rows, std::string_view module, std::string_view name) {
  const auto row =
      std::ranges::find_if(rows, [&](const AllowedGlobal& g) { return g.module == module && g.name == name; });
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace

const AllowedGlobal* find_allowed_global(std::string_view module, std::string_view name) {
  const AllowedGlobal* found = find_in(kDicts, module, name);
  if (found == nullptr) found = find_in(kTorch, module, name);
  if (found == nullptr) found = find_in(kStorages, module, name);
  if (found == nullptr) found = find_in(kDTypes, module, name);
  if (found == nullptr) found = find_in(kInert, module, name);
  if (found == nullptr) found = find_in(kBuiltins, module, name);
  return found;
}

}  // namespace polyphony::torch_file
