// SPDX-License-Identifier: Apache-2.0
// Opening and writing safetensors files.
#include "core/formats/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "core/check.h"

namespace polyphony::formats {
namespace {

std::string shown(const std::filesystem::path& path) { return printable(path.native(), 400); }

uint64_t expected_bytes(const TensorBytes& tensor, const std::string& where) {
  uint64_t num_bytes = dtype_bytes(tensor.dtype);
  bool fits = true;
  for (const int64_t size : tensor.shape) {
    fits &= size >= 0 && !__builtin_mul_overflow(num_bytes, static_cast<uint64_t>(size), &num_bytes);
  }
  check<Error>(fits, "[", where, "] tensor '", printable(tensor.name), "': expected sizes from 0 that fit memory");
  return num_bytes;
}

std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

// The bytes before the data: length, JSON, spaces up to a multiple of 8.
std::string encode_header(const std::vector<TensorBytes>& tensors, const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  if (!metadata.empty()) json += "\"__metadata__\":" + nlohmann::json(metadata).dump();
  uint64_t begin = 0;
  for (const TensorBytes& tensor : tensors) {
    if (json.size() > 1) json += ',';
    const uint64_t end = begin + tensor.bytes.size();
    json += quoted(tensor.name) + ":{\"dtype\":\"" + std::string(dtype_name(tensor.dtype)) +
            "\",\"shape\":" + nlohmann::json(tensor.shape).dump() + ",\"data_offsets\":[" + std::to_string(begin) +
            ',' + std::to_string(end) + "]}";
    begin = end;
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');

  std::string out;
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(uint64_t{json.size()} >> shift);
  return out + json;
}

}  // namespace

SafetensorsFile::SafetensorsFile(InputFile file, SafetensorsHeader header)
    : file_(std::move(file)), header_(std::move(header)), by_name_(header_.tensors.size()) {
  std::iota(by_name_.begin(), by_name_.end(), size_t{0});
  std::ranges::sort(by_name_, {}, [this](size_t i) -> std::string_view { return header_.tensors[i].name; });
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path, const SafetensorsLimits& limits) {
  InputFile file = InputFile::open(path);
  SafetensorsHeader header = parse_safetensors_header(file.size(), reader_of(file), shown(path), limits);
  return {std::move(file), std::move(header)};
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto name_of = [this](size_t i) -> std::string_view { return header_.tensors[i].name; };
  const auto it = std::ranges::lower_bound(by_name_, name, {}, name_of);
  return it != by_name_.end() && name_of(*it) == name ? &header_.tensors[*it] : nullptr;
}

void SafetensorsFile::read(const TensorInfo& tensor, std::span<std::byte> out) const {
  check<DataError>(out.size() == tensor.num_bytes(), "[", shown(path()), "] tensor '", printable(tensor.name),
                   "': expected room for ", tensor.num_bytes(), " bytes, got ", out.size());
  file_.read_at(header_.data_begin + tensor.begin, out);
}

std::vector<std::byte> SafetensorsFile::bytes(const TensorInfo& tensor) const {
  std::vector<std::byte> out(static_cast<size_t>(tensor.num_bytes()));
  read(tensor, out);
  return out;
}

void write_safetensors(const std::filesystem::path& path, std::vector<TensorBytes> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string where = shown(path);
  for (const auto& [key, value] : metadata) {
    check<Error>(is_utf8(key) && is_utf8(value), "[", where, "] expected metadata in UTF-8, got key '", printable(key),
                 "'");
  }
  for (const TensorBytes& tensor : tensors) {
    check<Error>(is_utf8(tensor.name) && tensor.name.find('\0') == std::string::npos && tensor.name != "__metadata__",
                 "[", where, "] expected a tensor name in UTF-8 without NUL other than __metadata__, got '",
                 printable(tensor.name), "'");
    const uint64_t num_bytes = expected_bytes(tensor, where);
    check<Error>(tensor.bytes.size() == num_bytes, "[", where, "] tensor '", printable(tensor.name), "': expected ",
                 num_bytes, " bytes for its shape, got ", tensor.bytes.size());
  }
  std::ranges::sort(tensors, [](const TensorBytes& a, const TensorBytes& b) {
    return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
  });
  std::vector<std::string_view> names;
  for (const TensorBytes& tensor : tensors) names.push_back(tensor.name);
  std::ranges::sort(names);
  const auto twin = std::ranges::adjacent_find(names);
  check<Error>(twin == names.end(), "[", where, "] expected each tensor once, got '",
               twin == names.end() ? "" : printable(*twin), "' twice");

  const std::string header = encode_header(tensors, metadata);
  check<Error>(header.size() - 8 <= SafetensorsLimits{}.max_header_bytes, "[", where, "] expected a header of at most ",
               SafetensorsLimits{}.max_header_bytes, " bytes, got ", header.size() - 8);
  AtomicFile file(path);
  file.write(header);
  for (const TensorBytes& tensor : tensors) file.write(tensor.bytes);
  file.commit();
}

}  // namespace polyphony::formats
