// SPDX-License-Identifier: Apache-2.0
// The first directory of a TIFF-shaped block, and the orientation that EXIF keeps there (EXIF 2.32, section 4.6).
#include "core/formats/image_bytes.h"

namespace polyphony::formats {

namespace {

// Bytes of one value of each TIFF type, 1 BYTE .. 12 DOUBLE.
constexpr size_t kTypeBytes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};

}  // namespace

std::optional<TiffDirectory> TiffDirectory::read(Bytes bytes) {
  if (bytes.size() < 8) return std::nullopt;
  const std::string_view order(reinterpret_cast<const char*>(bytes.data()), 2);
  if (order != "II" && order != "MM") return std::nullopt;
  const ByteView view(bytes, order == "II" ? Endian::little : Endian::big, "[image] TIFF directory:");
  if (view.u16(2) != 42) return std::nullopt;
  const size_t start = view.u32(4);
  if (!view.holds(start, 2)) return std::nullopt;
  const size_t count = view.u16(start);
  if (!view.holds(start + 2, count * 12)) return std::nullopt;

  TiffDirectory directory(view);
  directory.entries_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const size_t at = start + 2 + i * 12;
    Entry entry{.tag = view.u16(at), .type = view.u16(at + 2), .count = view.u32(at + 4), .value_offset = at + 8};
    const size_t bytes_each = entry.type < std::size(kTypeBytes) ? kTypeBytes[entry.type] : 0;
    if (bytes_each * entry.count > 4) entry.value_offset = view.u32(at + 8);
    directory.entries_.push_back(entry);
  }
  const size_t next_at = start + 2 + count * 12;
  directory.has_next_ = view.holds(next_at, 4) && view.u32(next_at) != 0;
  return directory;
}

const TiffDirectory::Entry* TiffDirectory::find(uint32_t tag) const {
  for (const auto& entry : entries_)
    if (entry.tag == tag) return &entry;
  return nullptr;
}

std::optional<uint32_t> TiffDirectory::value(uint32_t tag, uint32_t index) const {
  const Entry* entry = find(tag);
  if (entry == nullptr || index >= entry->count) return std::nullopt;
  if (entry->type != 1 && entry->type != 3 && entry->type != 4) return std::nullopt;
  const size_t width = kTypeBytes[entry->type];
  const size_t at = entry->value_offset + size_t{index} * width;
  if (!view_.holds(at, width)) return std::nullopt;
  return view_.integer(at, width);
}

int exif_orientation(Bytes block) {
  constexpr std::string_view kPrefix("Exif\0\0", 6);
  const std::string_view text(reinterpret_cast<const char*>(block.data()), block.size());
  if (text.starts_with(kPrefix)) block = block.subspan(kPrefix.size());
  const auto directory = TiffDirectory::read(block);
  const auto value = directory ? directory->value(kOrientationTag) : std::nullopt;
  return value && *value >= 1 && *value <= 8 ? static_cast<int>(*value) : 1;
}

}  // namespace polyphony::formats
