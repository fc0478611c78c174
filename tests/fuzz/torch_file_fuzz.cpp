// SPDX-License-Identifier: Apache-2.0
// Fuzzes the checkpoint reader: any bytes are refused with a DataError, or describe tensors that can be read. Pickles
// and the zip directory are also tried by themselves, because a checksum stands between the fuzzer and a zip's pickle.
#include <cstdint>
#include <cstdlib>

#include "core/error.h"
#include "pipelines/torch_file/torch_file.h"

namespace {

using namespace polyphony;

constexpr uint64_t kMaxTensorBytes = 1 << 20;

void try_pickle(std::span<const std::byte> bytes) {
  try {
    const torch_file::Pickle pickle = torch_file::parse_pickle(bytes);
    if (pickle.num_bytes() > bytes.size() || pickle.root() >= pickle.num_nodes()) std::abort();
    const auto inside = [&](torch_file::NodeId id) { return id < pickle.num_nodes(); };
    for (torch_file::NodeId id = 0; id < pickle.num_nodes(); ++id) {
      using torch_file::NodeKind;
      const NodeKind kind = pickle.kind(id);
      if (kind == NodeKind::list || kind == NodeKind::tuple || kind == NodeKind::dict) {
        for (const torch_file::NodeId item : pickle.items(id)) {
          if (!inside(item)) std::abort();
        }
      }
      if (kind == NodeKind::tensor && !inside(pickle.tensor(id).storage)) std::abort();
      if (kind == NodeKind::storage && !inside(pickle.storage(id).key)) std::abort();
      if ((kind == NodeKind::text || kind == NodeKind::big_integer) && pickle.text(id).size() > 2 * bytes.size())
        std::abort();
    }
  } catch (const DataError&) {
  }
}

void try_zip(std::span<const std::byte> bytes) {
  try {
    uint64_t end = 0;
    for (const torch_file::ZipEntry& entry : torch_file::read_torch_zip(bytes.size(), reader_of(bytes), "zip")) {
      if (entry.offset <= end || entry.num_bytes > bytes.size() - entry.offset) std::abort();
      end = entry.offset + entry.num_bytes;
      torch_file::check_zip_entry(entry, reader_of(bytes), "zip");
    }
  } catch (const DataError&) {
  }
}

void try_file(std::span<const std::byte> bytes) {
  try {
    torch_file::TorchFile file = torch_file::TorchFile::parse(bytes.size(), reader_of(bytes), "torch");
    for (const auto& [name, tensor] : file.tensors()) {
      if (name.empty() && !file.stripped_prefix().empty()) std::abort();
      if (tensor.num_bytes() > kMaxTensorBytes) continue;
      if (file.read(tensor, kMaxTensorBytes).size() != tensor.num_bytes()) std::abort();
    }
  } catch (const DataError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try_pickle(bytes);
  try_zip(bytes);
  try_file(bytes);
  return 0;
}
