// SPDX-License-Identifier: Apache-2.0
// The zip form, the legacy form, and what is neither.
#include "pipelines/torch_file/torch_contents.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/sniff.h"

namespace polyphony::torch_file {
namespace {

constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr int64_t kLegacyProtocol = 1001;
constexpr size_t kTarMagicAt = 257;

// "archive" of "archive/data.pkl", whatever torch.save made of the file's name.
std::string root_of(const std::vector<ZipEntry>& entries, std::string_view where) {
  std::vector<std::string> roots;
  for (const ZipEntry& entry : entries) {
    const size_t slash = entry.name.find('/');
    if (slash != std::string::npos && entry.name.substr(slash) == "/data.pkl") {
      roots.push_back(entry.name.substr(0, slash));
    }
  }
  check<DataError>(roots.size() == 1, "[", where, "] expected one entry */data.pkl as torch.save writes it, got ",
                   roots.size());
  return roots[0] + "/";
}

TorchContents read_zip(uint64_t file_size, const ReadAt& read_at, std::string_view where, const TorchLimits& limits) {
  const std::vector<ZipEntry> entries = read_torch_zip(file_size, read_at, where, limits.zip);
  const std::string root = root_of(entries, where);
  TorchContents contents;
  for (const ZipEntry& entry : entries) {
    check<DataError>(entry.name.starts_with(root), "[", where, "] entry '", printable(entry.name),
                     "': expected it in the folder ", printable(root));
    const std::string_view name = std::string_view(entry.name).substr(root.size());
    check<DataError>(!name.starts_with("code/") && name != "constants.pkl", "[", where, "] entry '",
                     printable(entry.name), "': this is a TorchScript program, not a checkpoint");
    if (name == "data.pkl") {
      const std::vector<std::byte> bytes = read_zip_entry(entry, read_at, where, limits.pickle.max_bytes);
      contents.object = parse_pickle(bytes, where, limits.pickle);
      check<DataError>(contents.object.num_bytes() == bytes.size(), "[", where, "] expected data.pkl to end at byte ",
                       contents.object.num_bytes(), ", got ", bytes.size(), " bytes");
    } else if (name == "byteorder") {
      const std::vector<std::byte> order = read_zip_entry(entry, read_at, where, 16);
      check<DataError>(as_text(order) == "little", "[", where, "] expected byte order 'little', got '",
                       printable(as_text(order)), "'");
    } else if (name.starts_with("data/")) {
      contents.storages.emplace(name.substr(5), TorchStorage{.entry = entry});
    }
  }
  return contents;
}

// What the legacy form says of the machine that wrote it.
bool is_little_endian(const Pickle& system) {
  if (system.kind(system.root()) != NodeKind::dict) return false;
  const std::span<const NodeId> items = system.items(system.root());
  for (size_t i = 0; i < items.size(); i += 2) {
    if (system.kind(items[i]) == NodeKind::text && system.text(items[i]) == "little_endian") {
      return system.kind(items[i + 1]) == NodeKind::boolean && system.boolean(items[i + 1]);
    }
  }
  return false;
}

// Five pickles in a row (magic, protocol, system, object, keys), then for each key the count and the elements.
class LegacyReader {
 public:
  LegacyReader(uint64_t file_size, const ReadAt& read_at, std::string_view where, const TorchLimits& limits)
      : file_size_(file_size),
        read_at_(read_at),
        where_(where),
        limits_(limits),
        head_(static_cast<size_t>(std::min(file_size, limits.pickle.max_bytes))) {
    read_at(0, head_);
  }

  TorchContents read() {
    const Pickle magic = next_pickle();
    const bool is_magic = magic.kind(magic.root()) == NodeKind::big_integer && magic.text(magic.root()) == kLegacyMagic;
    require(is_magic, "expected a file of torch.save, got another Python pickle");
    const Pickle protocol = next_pickle();
    require(protocol.kind(protocol.root()) == NodeKind::integer && protocol.integer(protocol.root()) == kLegacyProtocol,
            "expected protocol ", kLegacyProtocol);
    const Pickle system = next_pickle();
    require(is_little_endian(system), "expected byte order 'little'");
    TorchContents contents{.object = next_pickle()};
    const Pickle keys = next_pickle();
    head_ = {};
    read_storages(contents, keys);
    return contents;
  }

 private:
  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    check<DataError>(condition, "[", where_, "] ", parts...);
  }

  Pickle next_pickle() {
    Pickle pickle = parse_pickle(std::span(head_).subspan(static_cast<size_t>(at_)),
                                 join(where_, ", pickle at byte ", at_), limits_.pickle);
    at_ += pickle.num_bytes();
    return pickle;
  }

  void read_storages(TorchContents& contents, const Pickle& keys) {
    std::map<std::string_view, const StorageNode*> mentioned;
    for (const StorageNode& storage : contents.object.storages()) {
      mentioned.emplace(contents.object.text(storage.key), &storage);
    }
    require(keys.kind(keys.root()) == NodeKind::list, "expected a list of storage keys");
    for (const NodeId id : keys.items(keys.root())) {
      require(keys.kind(id) == NodeKind::text, "expected storage keys as str, got ", node_kind_name(keys.kind(id)));
      const std::string_view key = keys.text(id);
      const auto found = mentioned.find(key);
      require(found != mentioned.end(), "storage '", printable(key), "': expected the object to mention it");
      const StorageNode& storage = *found->second;
      const uint64_t element_bytes = storage.dtype ? formats::dtype_bytes(*storage.dtype) : 1;
      const uint64_t num_elements = take_count();
      require(num_elements == storage.num_elements, "storage '", printable(key), "': expected ", storage.num_elements,
              " elements, got ", num_elements);
      require(num_elements <= (file_size_ - at_) / element_bytes, "storage '", printable(key), "': expected ",
              num_elements, " elements, but only ", file_size_ - at_, " bytes are left: the file is truncated");
      const ZipEntry place{.name = std::string(key), .offset = at_, .num_bytes = num_elements * element_bytes};
      const bool is_new =
          contents.storages.emplace(std::string(key), TorchStorage{.entry = place, .needs_check = false}).second;
      require(is_new, "storage '", printable(key), "': expected it once");
      at_ += place.num_bytes;
    }
    require(at_ == file_size_, "expected the file to end at byte ", at_, ", got ", file_size_ - at_, " more bytes");
  }

  uint64_t take_count() {
    require(file_size_ - at_ >= 8, "expected the size of a storage at byte ", at_, ": the file is truncated");
    uint64_t count = 0;
    read_at_(at_, std::as_writable_bytes(std::span(&count, 1)));
    at_ += 8;
    return count;
  }

  uint64_t file_size_;
  const ReadAt& read_at_;
  std::string_view where_;
  const TorchLimits& limits_;
  std::vector<std::byte> head_;
  uint64_t at_ = 0;
};

}  // namespace

TorchContents read_torch_contents(uint64_t file_size, const ReadAt& read_at, std::string_view where,
                                  const TorchLimits& limits) {
  std::vector<std::byte> first(static_cast<size_t>(std::min<uint64_t>(file_size, formats::kSniffBytes)));
  read_at(0, first);
  const std::string_view text = as_text(first);
  if (text.starts_with("PK\x03\x04")) return read_zip(file_size, read_at, where, limits);
  check<DataError>(!text.substr(std::min(text.size(), kTarMagicAt)).starts_with("ustar"), "[", where,
                   "] this is a tar archive, as PyTorch wrote before 0.1.10: load and save it with a newer PyTorch");
  if (text.starts_with("\x80")) return LegacyReader(file_size, read_at, where, limits).read();
  const std::string meaning = formats::describe_foreign(first);
  fail<DataError>("[", where, "] expected a file of torch.save", meaning.empty() ? "" : "; it looks like ", meaning);
}

}  // namespace polyphony::torch_file
