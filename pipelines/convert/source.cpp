// SPDX-License-Identifier: Apache-2.0
#include "pipelines/convert/source.h"

#include <ATen/ATen.h>

#include <array>
#include <memory>

#include "core/base/files.h"
#include "core/check.h"
#include "pipelines/torch_file/torch_file.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr auto kPickledWeights = "diffusion_pytorch_model.bin";

WeightsSource of_safetensors(const fs::path& path) {
  const auto set = std::make_shared<formats::SafetensorsSet>(formats::SafetensorsSet::open(path));
  WeightsSource out;
  for (const auto& [name, entry] : set->entries())
    out.tensors.emplace(name, OfferedTensor{.shape = entry.tensor.shape,
                                            .dtype = to_tensor_dtype(entry.tensor.dtype),
                                            .read = [set, &entry = entry] { return read_tensor(*set, entry); }});
  return out;
}

at::Tensor read_pickled(torch_file::TorchFile& file, const torch_file::TorchTensor& tensor) {
  const auto bytes = file.read(tensor);
  auto out = at::empty(tensor.shape, to_tensor_dtype(tensor.dtype));
  std::memcpy(out.mutable_data_ptr(), bytes.data(), bytes.size());
  return out;
}

WeightsSource of_pickle(const fs::path& path) {
  const auto file = std::make_shared<torch_file::TorchFile>(torch_file::TorchFile::open(path));
  WeightsSource out{.state_dict = file->chosen()};
  for (const auto& [name, tensor] : file->tensors())
    out.tensors.emplace(name, OfferedTensor{.shape = tensor.shape,
                                            .dtype = to_tensor_dtype(tensor.dtype),
                                            .read = [file, &tensor = tensor] { return read_pickled(*file, tensor); }});
  return out;
}

// A zip archive, or a bare pickle of protocol 2 and up.
bool is_pickled(const fs::path& path) {
  const auto file = InputFile::open(path);
  std::array<std::byte, 4> start{};
  if (file.size() < start.size()) return false;
  file.read_at(0, start);
  const auto text = as_text(start);
  return text == "PK\x03\x04" || (text[0] == '\x80' && text[1] >= 2 && text[1] <= 5);
}

}  // namespace

WeightsSource open_weights(const fs::path& path) {
  std::error_code unreadable;
  if (fs::is_directory(path, unreadable)) {
    const auto pickled = path / kPickledWeights;
    return fs::exists(pickled) && !fs::exists(path / "diffusion_pytorch_model.safetensors") ? of_pickle(pickled)
                                                                                            : of_safetensors(path);
  }
  const auto ending = path.extension();
  if (ending == ".safetensors" || ending == ".json") return of_safetensors(path);
  check<DataError>(is_pickled(path), "[", path.string(),
                   "] expected a PyTorch file (a zip archive or a pickle) or .safetensors, got something else");
  return of_pickle(path);
}

TensorMap read_all(const WeightsSource& source) {
  TensorMap out;
  for (const auto& [name, tensor] : source.tensors) out.emplace(name, tensor.read());
  return out;
}

}  // namespace polyphony::pipelines
