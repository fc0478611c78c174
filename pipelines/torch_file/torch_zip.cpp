// SPDX-License-Identifier: Apache-2.0
// From the end of the file to the directory, from the directory to each local header, and checksums.
#include "pipelines/torch_file/torch_zip.h"

#include <zlib.h>

#include <algorithm>
#include <ostream>
#include <utility>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::torch_file {
namespace {

constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kEnd64Bytes = 56;
constexpr uint64_t kLocatorBytes = 20;
constexpr uint64_t kCentralBytes = 46;
constexpr uint64_t kLocalBytes = 30;
constexpr uint32_t kEndMagic = 0x06054b50;
constexpr uint32_t kEnd64Magic = 0x06064b50;
constexpr uint32_t kLocatorMagic = 0x07064b50;
constexpr uint32_t kCentralMagic = 0x02014b50;
constexpr uint32_t kLocalMagic = 0x04034b50;
constexpr uint32_t kDescriptorMagic = 0x08074b50;
constexpr uint64_t kFull16 = 0xFFFF;  // "see the zip64 record"
constexpr uint64_t kFull32 = 0xFFFFFFFF;
constexpr uint16_t kZip64Extra = 1;
constexpr uint16_t kEncryptedFlag = 0x0001;
constexpr uint16_t kDescriptorFlag = 0x0008;
constexpr uint16_t kAllowedFlags = 0x080E;  // deflate options, sizes after the data, UTF-8 names
constexpr size_t kPieceBytes = size_t{1} << 20;

// A header's fields, taken from the front.
class Fields {
 public:
  Fields(std::string_view bytes, std::string_view where) : rest_(bytes), where_(where) {}
  std::string_view take(size_t num_bytes) {
    check<DataError>(num_bytes <= rest_.size(), "[", where_, "] zip: expected ", num_bytes,
                     " more bytes in a header, but only ", rest_.size(), " are left");
    const std::string_view out = rest_.substr(0, num_bytes);
    rest_.remove_prefix(num_bytes);
    return out;
  }
  uint16_t u16() { return static_cast<uint16_t>(number(2)); }
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }
  uint64_t u64() { return number(8); }
  size_t num_left() const { return rest_.size(); }

 private:
  uint64_t number(size_t num_bytes) {
    uint64_t value = 0;
    int shift = 0;
    for (const char byte : take(num_bytes)) {
      value |= uint64_t{static_cast<unsigned char>(byte)} << shift;
      shift += 8;
    }
    return value;
  }
  std::string_view rest_;
  std::string_view where_;
};

// An entry as the directory has it.
struct CentralEntry {
  ZipEntry entry;
  uint64_t header_offset = 0;
  uint16_t flags = 0;
};

// Shown only where a check fails.
struct EntryName {
  std::string_view name;
};
std::ostream& operator<<(std::ostream& out, const EntryName& entry) {
  return out << "entry '" << printable(entry.name) << "'";
}

struct Directory {
  uint64_t num_entries = 0;
  uint64_t num_bytes = 0;
  uint64_t offset = 0;
};

class Archive {
 public:
  Archive(uint64_t file_size, const ReadAt& read_at, std::string_view where, const ZipLimits& limits)
      : file_size_(file_size), read_at_(read_at), where_(where), limits_(limits) {}

  std::vector<ZipEntry> read() const {
    const Directory directory = find_directory();
    std::vector<CentralEntry> entries = read_directory(directory);
    check_names(entries);
    std::ranges::sort(entries, {}, &CentralEntry::header_offset);
    require(!entries.empty() && entries.front().header_offset == 0, "expected an entry at the start of the file");
    std::vector<ZipEntry> out;
    out.reserve(entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      read_local_header(entries[i], i + 1 < entries.size() ? entries[i + 1].header_offset : directory.offset);
      out.push_back(std::move(entries[i].entry));
    }
    return out;
  }

 private:
  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    check<DataError>(condition, "[", where_, "] zip: ", parts...);
  }
  static EntryName name_of(const CentralEntry& central) { return {central.entry.name}; }

  std::string bytes_at(uint64_t offset, uint64_t num_bytes) const {
    require(offset <= file_size_ && num_bytes <= file_size_ - offset, "expected ", num_bytes, " bytes at byte ", offset,
            ", but the file has ", file_size_, ": it is truncated");
    std::string out(static_cast<size_t>(num_bytes), '\0');
    read_at_(offset, std::as_writable_bytes(std::span(out)));
    return out;
  }

  Directory find_directory() const {
    require(file_size_ >= kEndBytes, "expected at least ", kEndBytes, " bytes, got ", file_size_);
    const std::string end_bytes = bytes_at(file_size_ - kEndBytes, kEndBytes);
    Fields end(end_bytes, where_);
    const bool is_end = end.u32() == kEndMagic;
    require(is_end, "expected the end of a zip archive at the end of the file: it is truncated, or has a comment");
    require(end.u16() == 0 && end.u16() == 0, "expected one volume");
    const uint64_t num_here = end.u16();
    Directory directory{.num_entries = end.u16(), .num_bytes = end.u32(), .offset = end.u32()};
    require(num_here == directory.num_entries && end.u16() == 0, "expected one volume without a comment");

    uint64_t directory_end = file_size_ - kEndBytes;
    if (directory_end >= kLocatorBytes) {
      const std::string locator_bytes = bytes_at(directory_end - kLocatorBytes, kLocatorBytes);
      Fields locator(locator_bytes, where_);
      if (locator.u32() == kLocatorMagic) {
        directory_end -= kLocatorBytes;
        directory = read_end64(directory, locator, directory_end);
        directory_end -= kEnd64Bytes;
      }
    }
    require(directory.offset <= directory_end && directory.num_bytes == directory_end - directory.offset,
            "expected the directory to end at byte ", directory_end, ", got ", directory.num_bytes, " bytes at byte ",
            directory.offset);
    require(directory.num_bytes <= limits_.max_directory_bytes, "expected a directory of at most ",
            limits_.max_directory_bytes, " bytes, got ", directory.num_bytes);
    require(directory.num_entries <= limits_.max_entries, "expected at most ", limits_.max_entries, " entries, got ",
            directory.num_entries);
    require(directory.num_entries <= directory.num_bytes / kCentralBytes, "expected room for ", directory.num_entries,
            " entries in a directory of ", directory.num_bytes, " bytes");
    return directory;
  }

  // The zip64 record lies before its locator, and may differ from the plain one only where that is full.
  Directory read_end64(const Directory& plain, Fields& locator, uint64_t locator_offset) const {
    require(locator.u32() == 0, "expected one volume");
    const uint64_t offset = locator.u64();
    require(locator.u32() <= 1, "expected one volume");
    require(locator_offset >= kEnd64Bytes && offset == locator_offset - kEnd64Bytes,
            "expected the zip64 record before its locator at byte ", locator_offset, ", got byte ", offset);
    const std::string bytes = bytes_at(offset, kEnd64Bytes);
    Fields end(bytes, where_);
    const bool is_end = end.u32() == kEnd64Magic && end.u64() == kEnd64Bytes - 12;
    require(is_end, "expected a zip64 record of ", kEnd64Bytes, " bytes at byte ", offset);
    end.take(4);  // versions
    require(end.u32() == 0 && end.u32() == 0, "expected one volume");
    const uint64_t num_here = end.u64();
    const Directory directory{.num_entries = end.u64(), .num_bytes = end.u64(), .offset = end.u64()};
    const auto agree = [](uint64_t small, uint64_t large, uint64_t full) { return small == large || small == full; };
    require(num_here == directory.num_entries && agree(plain.num_entries, directory.num_entries, kFull16) &&
                agree(plain.num_bytes, directory.num_bytes, kFull32) && agree(plain.offset, directory.offset, kFull32),
            "expected the zip64 record to agree with the plain one");
    return directory;
  }

  std::vector<CentralEntry> read_directory(const Directory& directory) const {
    const std::string bytes = bytes_at(directory.offset, directory.num_bytes);
    Fields fields(bytes, where_);
    std::vector<CentralEntry> entries;
    entries.reserve(static_cast<size_t>(directory.num_entries));
    for (uint64_t i = 0; i < directory.num_entries; ++i) entries.push_back(read_central(fields, directory.offset));
    require(fields.num_left() == 0, "expected ", directory.num_entries, " entries in the directory, got ",
            fields.num_left(), " more bytes");
    return entries;
  }

  CentralEntry read_central(Fields& fields, uint64_t directory_offset) const {
    require(fields.u32() == kCentralMagic, "expected an entry of the directory");
    CentralEntry central;
    fields.take(4);  // versions
    central.flags = fields.u16();
    const uint16_t method = fields.u16();
    fields.take(4);  // time and date
    central.entry.crc32 = fields.u32();
    uint64_t stored_bytes = fields.u32();
    central.entry.num_bytes = fields.u32();
    const size_t name_bytes = fields.u16();
    const size_t extra_bytes = fields.u16();
    const size_t comment_bytes = fields.u16();
    const uint16_t volume = fields.u16();
    fields.take(6);  // attributes
    central.header_offset = fields.u32();
    require(name_bytes <= limits_.max_name_bytes, "expected names of at most ", limits_.max_name_bytes, " bytes, got ",
            name_bytes);
    central.entry.name = fields.take(name_bytes);
    read_zip64_extra(fields.take(extra_bytes), central, stored_bytes);
    require(comment_bytes == 0 && volume == 0, name_of(central), ": expected no comment and one volume");
    require((central.flags & kEncryptedFlag) == 0, name_of(central), ": expected no encryption");
    require(method == 0, name_of(central), ": expected it stored as it is, got compression method ", method,
            is_torch_script(central.entry.name) ? ": this is a TorchScript program, not a checkpoint" : "");
    require((central.flags & ~kAllowedFlags) == 0, name_of(central), ": expected plain flags, got ", central.flags);
    require(stored_bytes == central.entry.num_bytes, name_of(central), ": expected one size, got ", stored_bytes,
            " stored and ", central.entry.num_bytes, " unpacked");
    require(central.header_offset <= directory_offset && stored_bytes <= directory_offset - central.header_offset,
            name_of(central), ": expected it before the directory at byte ", directory_offset, ", got ", stored_bytes,
            " bytes from byte ", central.header_offset);
    return central;
  }

  static bool is_torch_script(std::string_view name) {
    return name.find("/code/") != std::string_view::npos || name.ends_with("/constants.pkl");
  }

  // 64-bit values stand for the fields that are full, in this order and no others.
  void read_zip64_extra(std::string_view extra, CentralEntry& central, uint64_t& stored_bytes) const {
    std::vector<uint64_t*> full;
    if (central.entry.num_bytes == kFull32) full.push_back(&central.entry.num_bytes);
    if (stored_bytes == kFull32) full.push_back(&stored_bytes);
    if (central.header_offset == kFull32) full.push_back(&central.header_offset);
    Fields fields(extra, where_);
    bool found = false;
    while (fields.num_left() > 0) {
      const uint16_t id = fields.u16();
      const std::string_view value = fields.take(fields.u16());
      if (id != kZip64Extra) continue;
      require(!found && value.size() == 8 * full.size(), name_of(central), ": expected one zip64 field of ",
              8 * full.size(), " bytes, got ", value.size());
      Fields values(value, where_);
      for (uint64_t* target : full) *target = values.u64();
      found = true;
    }
    require(found || full.empty(), name_of(central), ": expected a zip64 field for its sizes");
  }

  void check_name(const CentralEntry& central) const {
    const std::string& name = central.entry.name;
    bool good = is_utf8(name) && name.find_first_of(std::string_view("\\\0", 2)) == std::string::npos;
    for (const std::string& part : split(name, '/')) good &= !part.empty() && part != "." && part != "..";
    require(good, name_of(central), ": expected a relative name without '..', '\\' and NUL");
  }
  void check_names(const std::vector<CentralEntry>& entries) const {
    std::vector<std::string_view> names;
    for (const CentralEntry& central : entries) {
      check_name(central);
      names.push_back(central.entry.name);
    }
    std::ranges::sort(names);
    const auto twin = std::ranges::adjacent_find(names);
    require(twin == names.end(), "expected each entry once, got ", EntryName{twin == names.end() ? "" : *twin},
            " twice");
  }

  // Finds the data of the entry whose header begins at header_offset and which ends at `end`.
  void read_local_header(CentralEntry& central, uint64_t end) const {
    ZipEntry& entry = central.entry;
    require(end - central.header_offset >= kLocalBytes, name_of(central), " overlaps the one after");
    const std::string header_bytes = bytes_at(central.header_offset, kLocalBytes);
    Fields header(header_bytes, where_);
    require(header.u32() == kLocalMagic, name_of(central), ": expected a header at byte ", central.header_offset);
    header.take(2);  // version
    require(header.u16() == central.flags && header.u16() == 0, name_of(central),
            ": expected the header to agree with the directory");
    header.take(4);  // time and date
    const uint32_t crc = header.u32();
    uint64_t stored_bytes = header.u32();
    uint64_t num_bytes = header.u32();
    const size_t name_bytes = header.u16();
    const size_t extra_bytes = header.u16();
    entry.offset = central.header_offset + kLocalBytes + name_bytes + extra_bytes;
    require(entry.offset <= end && entry.num_bytes <= end - entry.offset, name_of(central), " overlaps the one after");
    const std::string rest = bytes_at(central.header_offset + kLocalBytes, name_bytes + extra_bytes);
    require(std::string_view(rest).substr(0, name_bytes) == entry.name, name_of(central),
            ": expected the same name in its header, got '", printable(rest.substr(0, name_bytes)), "'");
    if (num_bytes == kFull32 && stored_bytes == kFull32) {
      Fields extra(std::string_view(rest).substr(name_bytes), where_);
      require(extra.u16() == kZip64Extra && extra.u16() >= 16, name_of(central), ": expected a zip64 field first");
      num_bytes = extra.u64();
      stored_bytes = extra.u64();
    }
    const bool has_descriptor = (central.flags & kDescriptorFlag) != 0;
    const auto agree = [&](uint64_t here, uint64_t there) { return here == there || (has_descriptor && here == 0); };
    require(agree(crc, entry.crc32) && agree(stored_bytes, entry.num_bytes) && agree(num_bytes, entry.num_bytes),
            name_of(central), ": expected the header to agree with the directory");
    check_after_data(central, entry.offset + entry.num_bytes, end, has_descriptor);
  }

  // Between data and the next header lies nothing, or the descriptor: [magic] checksum, size, size, of 4 or 8 bytes.
  void check_after_data(const CentralEntry& central, uint64_t begin, uint64_t end, bool has_descriptor) const {
    const uint64_t num_bytes = end - begin;
    if (!has_descriptor) {
      require(num_bytes == 0, name_of(central), ": expected nothing after it, got ", num_bytes, " bytes");
      return;
    }
    const bool has_magic = num_bytes == 16 || num_bytes == 24;
    require(has_magic || num_bytes == 12 || num_bytes == 20, name_of(central),
            ": expected a descriptor of 12 to 24 bytes after it, got ", num_bytes, " bytes");
    const std::string bytes = bytes_at(begin, num_bytes);
    Fields fields(bytes, where_);
    const bool is_wide = num_bytes >= 20;
    const auto take_size = [&] { return is_wide ? fields.u64() : uint64_t{fields.u32()}; };
    const bool agrees = (!has_magic || fields.u32() == kDescriptorMagic) && fields.u32() == central.entry.crc32 &&
                        take_size() == central.entry.num_bytes && take_size() == central.entry.num_bytes;
    require(agrees, name_of(central), ": expected the descriptor to agree with the directory");
  }

  uint64_t file_size_;
  const ReadAt& read_at_;
  std::string_view where_;
  const ZipLimits& limits_;
};

void check_crc(const ZipEntry& entry, uLong crc, std::string_view where) {
  check<DataError>(crc == entry.crc32, "[", where, "] entry '", printable(entry.name), "': expected CRC-32 ",
                   entry.crc32, ", got ", crc, ": the file is damaged, or was saved without checksums");
}

uLong update_crc(uLong crc, std::span<const std::byte> bytes) {
  return ::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
}

}  // namespace

std::vector<ZipEntry> read_torch_zip(uint64_t file_size, const ReadAt& read_at, std::string_view where,
                                     const ZipLimits& limits) {
  return Archive(file_size, read_at, where, limits).read();
}

std::vector<std::byte> read_zip_entry(const ZipEntry& entry, const ReadAt& read_at, std::string_view where,
                                      uint64_t max_bytes) {
  check<DataError>(entry.num_bytes <= max_bytes, "[", where, "] entry '", printable(entry.name), "': expected at most ",
                   max_bytes, " bytes, got ", entry.num_bytes);
  std::vector<std::byte> bytes(static_cast<size_t>(entry.num_bytes));
  read_at(entry.offset, bytes);
  check_crc(entry, update_crc(0, bytes), where);
  return bytes;
}

void check_zip_entry(const ZipEntry& entry, const ReadAt& read_at, std::string_view where) {
  std::vector<std::byte> piece(static_cast<size_t>(std::min<uint64_t>(entry.num_bytes, kPieceBytes)));
  uLong crc = 0;
  for (uint64_t done = 0; done < entry.num_bytes; done += piece.size()) {
    const auto n = static_cast<size_t>(std::min<uint64_t>(piece.size(), entry.num_bytes - done));
    read_at(entry.offset + done, std::span(piece).first(n));
    crc = update_crc(crc, std::span(piece).first(n));
  }
  check_crc(entry, crc, where);
}

}  // namespace polyphony::torch_file
