// SPDX-License-Identifier: Apache-2.0
// Files to tensors and back.
#include "core/tensor_io.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>

#include <array>
#include <utility>

#include "core/check.h"
#include "core/formats/safetensors_index.h"
#include "core/tensor_files.h"

namespace polyphony {
namespace {

using formats::DType;

constexpr std::array<std::pair<DType, at::ScalarType>, formats::kNumDTypes> kDTypes = {{
    {DType::boolean, at::kBool},
    {DType::u8, at::kByte},
    {DType::i8, at::kChar},
    {DType::f8_e5m2, at::kFloat8_e5m2},
    {DType::f8_e4m3, at::kFloat8_e4m3fn},
    {DType::i16, at::kShort},
    {DType::u16, at::kUInt16},
    {DType::f16, at::kHalf},
    {DType::bf16, at::kBFloat16},
    {DType::i32, at::kInt},
    {DType::u32, at::kUInt32},
    {DType::f32, at::kFloat},
    {DType::f64, at::kDouble},
    {DType::i64, at::kLong},
    {DType::u64, at::kUInt64},
}};

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), static_cast<size_t>(tensor.nbytes())};
}

at::Tensor allocate(const std::string& name, at::IntArrayRef shape, at::ScalarType dtype) {
  try {
    return at::empty(shape, dtype);
  } catch (const c10::Error&) {
    int64_t num_elements = 1;
    for (const int64_t size : shape) num_elements *= size;
    fail<MemoryError>("[load_tensors] expected memory for tensor '", printable(name), "', ",
                      num_elements * static_cast<int64_t>(c10::elementSize(dtype)), " bytes");
  }
}

}  // namespace

DType to_file_dtype(at::ScalarType dtype) {
  for (const auto& [file, tensor] : kDTypes) {
    if (tensor == dtype) return file;
  }
  fail<ShapeError>("[save_tensors] expected an element type that safetensors has, got ", c10::toString(dtype));
}

at::ScalarType to_tensor_dtype(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].second; }

at::Tensor read_tensor(const formats::SafetensorsSet& set, const formats::SafetensorsSet::Entry& entry) {
  const formats::TensorInfo& info = entry.tensor;
  // A bool that is neither 0 nor 1 has no meaning in C++, so that such bytes are read as numbers first.
  const bool is_bool = info.dtype == DType::boolean;
  at::Tensor tensor = allocate(info.name, info.shape, is_bool ? at::kByte : to_tensor_dtype(info.dtype));
  set.read(entry, bytes_of(tensor));
  return is_bool ? tensor.ne(0) : tensor;
}

TensorMap load_tensors(const std::filesystem::path& path, std::string_view prefix) {
  const auto set = formats::SafetensorsSet::open(path);
  TensorMap tensors;
  for (const auto& [name, entry] : set.entries()) {
    if (name.starts_with(prefix)) tensors.emplace(name.substr(prefix.size()), read_tensor(set, entry));
  }
  return tensors;
}

Metadata load_metadata(const std::filesystem::path& path) { return formats::SafetensorsSet::open(path).metadata(); }

void save_tensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata) {
  std::vector<formats::TensorBytes> all;
  std::vector<at::Tensor> kept;  // copies of tensors that are not plain CPU memory, until the file is written
  for (const auto& [name, tensor] : tensors) {
    check<ShapeError>(tensor.defined(), "[save_tensors] tensor '", printable(name), "': expected a defined tensor");
    kept.push_back(tensor.detach().cpu().contiguous());
    const at::Tensor& plain = kept.back();
    all.push_back({name, to_file_dtype(plain.scalar_type()), plain.sizes().vec(), bytes_of(plain)});
  }
  formats::write_safetensors(path, std::move(all), metadata);
}

std::vector<std::string> non_finite_tensors(const TensorMap& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_floating_point()) continue;
    // The 8-bit types have no isfinite of their own; every value of theirs is exact in float.
    const bool is_small = c10::isFloat8Type(tensor.scalar_type());
    const at::Tensor values = is_small ? tensor.to(at::kFloat) : tensor;
    if (!at::isfinite(values).all().item<bool>()) names.push_back(name);
  }
  return names;
}

void check_finite(const TensorMap& tensors, std::string_view where) {
  const std::vector<std::string> names = non_finite_tensors(tensors);
  check<DataError>(names.empty(), "[", where, "] expected finite values, got NaN or infinity in ", name_list(names));
}

}  // namespace polyphony
