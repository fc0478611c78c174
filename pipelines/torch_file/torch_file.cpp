// SPDX-License-Identifier: Apache-2.0
// Which dict holds the weights, whether each tensor lies in its storage, and gathering of strided views.
#include "pipelines/torch_file/torch_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::torch_file {
namespace {

constexpr size_t kMaxRank = 8;
// A tensor of overlapping elements may be larger than its storage, but not so large that a small file fills the memory.
constexpr uint64_t kMaxExpandedBytes = uint64_t{1} << 30;
constexpr std::array<std::string_view, 4> kWrappers = {"ema", "model", "state_dict", "module"};
constexpr std::array<std::string_view, 3> kPrefixes = {"module.", "_orig_mod.", "model."};

// Bytes of all elements; empty if that overflows, also where a size of 0 would hide it, or a size is negative.
std::optional<uint64_t> bytes_of(const TorchTensor& tensor) {
  uint64_t num_bytes = formats::dtype_bytes(tensor.dtype);
  bool is_empty = false;
  for (const int64_t size : tensor.shape) {
    is_empty |= size == 0;
    if (size < 0 || __builtin_mul_overflow(num_bytes, static_cast<uint64_t>(std::max<int64_t>(size, 1)), &num_bytes)) {
      return std::nullopt;
    }
  }
  if (num_bytes > INT64_MAX) return std::nullopt;
  return is_empty ? 0 : num_bytes;
}

// Elements from the first to the last one of a tensor that is not empty; empty if that overflows or a stride is
// negative.
std::optional<uint64_t> extent_of(const TorchTensor& tensor) {
  uint64_t extent = 1;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    uint64_t reach = 0;
    if (tensor.strides[i] < 0 ||
        __builtin_mul_overflow(static_cast<uint64_t>(tensor.shape[i] - 1), static_cast<uint64_t>(tensor.strides[i]),
                               &reach) ||
        __builtin_add_overflow(extent, reach, &extent)) {
      return std::nullopt;
    }
  }
  return extent;
}

// The bytes of the storage that a tensor covers.
struct Window {
  uint64_t begin = 0;
  uint64_t num_bytes = 0;
};

// Throws DataError unless the tensor lies in a storage of this size.
Window check_tensor(const TorchTensor& tensor, uint64_t storage_bytes, std::string_view where) {
  check<DataError>(tensor.shape.size() <= kMaxRank && tensor.strides.size() == tensor.shape.size(), "[", where,
                   "] expected at most ", kMaxRank, " dimensions with as many strides, got ", tensor.shape.size(),
                   " and ", tensor.strides.size());
  const std::optional<uint64_t> num_bytes = bytes_of(tensor);
  check<DataError>(num_bytes.has_value(), "[", where, "] expected sizes from 0 that fit memory");
  check<DataError>(std::ranges::all_of(tensor.strides, [](int64_t stride) { return stride >= 0; }), "[", where,
                   "] expected strides from 0");
  const uint64_t max_bytes = std::max(storage_bytes, kMaxExpandedBytes);
  check<DataError>(*num_bytes <= max_bytes, "[", where, "] expected at most ", max_bytes, " bytes from a storage of ",
                   storage_bytes, ", got ", *num_bytes);
  if (*num_bytes == 0) return {};
  const uint64_t element_bytes = formats::dtype_bytes(tensor.dtype);
  const uint64_t num_elements = storage_bytes / element_bytes;
  const std::optional<uint64_t> extent = extent_of(tensor);
  check<DataError>(extent && tensor.storage_offset <= num_elements && *extent <= num_elements - tensor.storage_offset,
                   "[", where, "] expected it inside its storage of ", num_elements, " elements, got offset ",
                   tensor.storage_offset, " and extent ", extent ? std::to_string(*extent) : "above 64 bits");
  return {.begin = tensor.storage_offset * element_bytes, .num_bytes = *extent * element_bytes};
}

bool is_contiguous(const TorchTensor& tensor) {
  int64_t expected = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

// Copies the elements of a tensor that is not empty in C order; `window` begins at its first one.
template <size_t kElementBytes>
void gather(const TorchTensor& tensor, const std::byte* window, std::byte* out) {
  const size_t rank = tensor.shape.size();
  std::array<int64_t, kMaxRank> index{};
  int64_t at = 0;
  while (true) {
    std::memcpy(out, window + at * static_cast<int64_t>(kElementBytes), kElementBytes);
    out += kElementBytes;
    size_t axis = rank;
    while (axis > 0 && index[axis - 1] == tensor.shape[axis - 1] - 1) {
      --axis;
      at -= index[axis] * tensor.strides[axis];
      index[axis] = 0;
    }
    if (axis == 0) return;
    ++index[axis - 1];
    at += tensor.strides[axis - 1];
  }
}

void gather_any(const TorchTensor& tensor, const std::byte* window, std::byte* out) {
  switch (formats::dtype_bytes(tensor.dtype)) {
    case 1:
      return gather<1>(tensor, window, out);
    case 2:
      return gather<2>(tensor, window, out);
    case 4:
      return gather<4>(tensor, window, out);
    default:
      return gather<8>(tensor, window, out);
  }
}

struct Choice {
  std::string_view name;
  NodeId dict = 0;
};

Choice choose(const Pickle& object, std::string_view where) {
  check<DataError>(object.kind(object.root()) == NodeKind::dict, "[", where, "] expected a dict of tensors, got ",
                   node_kind_name(object.kind(object.root())));
  const std::span<const NodeId> items = object.items(object.root());
  for (const std::string_view wrapper : kWrappers) {
    std::optional<NodeId> found;
    for (size_t i = 0; i < items.size(); i += 2) {
      if (object.kind(items[i]) != NodeKind::text || object.text(items[i]) != wrapper) continue;
      check<DataError>(!found, "[", where, "] expected each key once, got '", wrapper, "' twice");
      found = items[i + 1];
    }
    if (found && object.kind(*found) == NodeKind::dict) return {.name = wrapper, .dict = *found};
  }
  return {.name = "top level", .dict = object.root()};
}

std::vector<int64_t> integers(const Pickle& object, NodeId tuple, std::string_view where) {
  std::vector<int64_t> out;
  for (const NodeId id : object.items(tuple)) {
    check<DataError>(object.kind(id) == NodeKind::integer, "[", where, "] expected an integer, got ",
                     node_kind_name(object.kind(id)));
    out.push_back(object.integer(id));
  }
  return out;
}

// Taken off names that all begin with it, and are more than it.
std::string common_prefix(const std::map<std::string, TorchTensor>& tensors) {
  std::string prefix;
  const auto fits = [&](std::string_view part) {
    return std::ranges::all_of(tensors, [&](const auto& item) {
      const std::string_view rest = std::string_view(item.first).substr(prefix.size());
      return rest.starts_with(part) && rest.size() > part.size();
    });
  };
  for (auto part = std::ranges::find_if(kPrefixes, fits); part != kPrefixes.end();
       part = std::ranges::find_if(kPrefixes, fits)) {
    prefix += *part;
  }
  return prefix;
}

}  // namespace

uint64_t TorchTensor::num_bytes() const { return bytes_of(*this).value_or(UINT64_MAX); }

TorchFile TorchFile::open(const std::filesystem::path& path, const TorchLimits& limits) {
  const auto file = std::make_shared<InputFile>(InputFile::open(path));
  const auto read_at = [file](uint64_t offset, std::span<std::byte> out) { file->read_at(offset, out); };
  return parse(file->size(), read_at, printable(path.native(), 400), limits);
}

TorchFile TorchFile::parse(uint64_t file_size, ReadAt read_at, std::string where, const TorchLimits& limits) {
  TorchFile file;
  file.read_at_ = std::move(read_at);
  file.where_ = std::move(where);
  TorchContents contents = read_torch_contents(file_size, file.read_at_, file.where_, limits);
  file.storages_ = std::move(contents.storages);

  const Pickle& object = contents.object;
  const Choice choice = choose(object, file.where_);
  file.chosen_ = choice.name;
  const std::span<const NodeId> items = object.items(choice.dict);
  for (size_t i = 0; i < items.size(); i += 2) {
    if (object.kind(items[i + 1]) != NodeKind::tensor) continue;
    check<DataError>(object.kind(items[i]) == NodeKind::text, "[", file.where_, "] expected tensors named by str, got ",
                     node_kind_name(object.kind(items[i])));
    file.add_tensor(object, object.text(items[i]), object.tensor(items[i + 1]));
  }
  check<DataError>(!file.tensors_.empty(), "[", file.where_, "] expected tensors in the dict '", file.chosen_,
                   "', got none");

  file.stripped_prefix_ = common_prefix(file.tensors_);
  if (!file.stripped_prefix_.empty()) {
    std::map<std::string, TorchTensor> short_names;
    for (auto& [name, tensor] : file.tensors_) {
      short_names.emplace(name.substr(file.stripped_prefix_.size()), std::move(tensor));
    }
    file.tensors_ = std::move(short_names);
  }
  return file;
}

void TorchFile::add_tensor(const Pickle& object, std::string_view name, const TensorNode& node) {
  const std::string where = join(where_, "] [tensor '", printable(name), "'");
  check<DataError>(is_utf8(name) && name.find('\0') == std::string_view::npos, "[", where,
                   "] expected a name in UTF-8 without NUL");
  const StorageNode& storage = object.storage(node.storage);
  const std::string_view key = object.text(storage.key);
  check<DataError>(node.dtype.has_value(), "[", where, "] expected an element type, got an untyped storage");
  check<DataError>(!storage.has_view, "[", where, "] expected a whole storage, got a view of another");
  check<DataError>(node.offset >= 0, "[", where, "] expected an offset from 0, got ", node.offset);

  const auto found = storages_.find(key);
  check<DataError>(found != storages_.end(), "[", where, "] expected storage '", printable(key), "' in the file");
  const uint64_t storage_bytes = found->second.entry.num_bytes;
  const uint64_t element_bytes = storage.dtype ? formats::dtype_bytes(*storage.dtype) : 1;
  check<DataError>(storage_bytes % element_bytes == 0 && storage_bytes / element_bytes == storage.num_elements, "[",
                   where, "] expected storage '", printable(key), "' of ", storage.num_elements, " elements of ",
                   element_bytes, " bytes, got ", storage_bytes, " bytes");

  TorchTensor tensor{
      .dtype = *node.dtype, .storage_offset = static_cast<uint64_t>(node.offset), .storage_key = std::string(key)};
  check<DataError>(object.items(node.sizes).size() <= kMaxRank && object.items(node.strides).size() <= kMaxRank, "[",
                   where, "] expected at most ", kMaxRank, " dimensions, got ", object.items(node.sizes).size());
  tensor.shape = integers(object, node.sizes, where);
  tensor.strides = integers(object, node.strides, where);
  check_tensor(tensor, storage_bytes, where);
  const bool is_new = tensors_.emplace(std::string(name), std::move(tensor)).second;
  check<DataError>(is_new, "[", where, "] expected each tensor once");
}

std::vector<std::byte> TorchFile::read(const TorchTensor& tensor, uint64_t max_bytes) {
  const auto found = storages_.find(tensor.storage_key);
  check<DataError>(found != storages_.end(), "[", where_, "] expected storage '", printable(tensor.storage_key),
                   "' in the file");
  TorchStorage& storage = found->second;
  const Window window = check_tensor(tensor, storage.entry.num_bytes, where_);
  const uint64_t num_bytes = tensor.num_bytes();
  check<DataError>(std::max(num_bytes, window.num_bytes) <= max_bytes, "[", where_, "] expected a tensor of at most ",
                   max_bytes, " bytes, got ", num_bytes, " spread over ", window.num_bytes);
  if (storage.needs_check) {
    check_zip_entry(storage.entry, read_at_, where_);
    storage.needs_check = false;
  }
  std::vector<std::byte> bytes(static_cast<size_t>(window.num_bytes));
  read_at_(storage.entry.offset + window.begin, bytes);
  if (num_bytes == 0 || is_contiguous(tensor)) return bytes;
  std::vector<std::byte> out(static_cast<size_t>(num_bytes));
  gather_any(tensor, bytes.data(), out.data());
  return out;
}

}  // namespace polyphony::torch_file
