// SPDX-License-Identifier: Apache-2.0
// Pickles, zip archives and PyTorch files put together by hand, right and wrong.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polyphony::testing {

inline std::string number(uint64_t value, size_t num_bytes) {
  std::string out;
  for (size_t i = 0; i < num_bytes; ++i) out += static_cast<char>(value >> 8 * i);
  return out;
}

inline std::string repeated(std::string_view part, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += part;
  return out;
}

// Pieces of a pickle.
inline std::string stop(std::string_view body) { return "\x80\x02" + std::string(body) + "."; }
inline std::string text(std::string_view value) { return "X" + number(value.size(), 4) + std::string(value); }
inline std::string integer(int64_t value) { return "\x8a\x08" + number(static_cast<uint64_t>(value), 8); }
inline std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string tuple(std::string_view items) { return "(" + std::string(items) + "t"; }
inline std::string integers(const std::vector<int64_t>& values) {
  std::string items;
  for (const int64_t value : values) items += integer(value);
  return tuple(items);
}
inline std::string call(std::string_view callee, std::string_view arguments) {
  return std::string(callee) + tuple(arguments) + "R";
}
inline std::string dict(std::string_view items) { return "}(" + std::string(items) + "u"; }

struct TensorPickle {
  std::string storage_class = global("torch", "FloatStorage");
  std::string key = "0";
  int64_t num_elements = 4;
  int64_t offset = 0;
  std::vector<int64_t> sizes = {4};
  std::vector<int64_t> strides = {1};
  std::string view = "";       // a sixth item of the persistent id
  std::string more = "\x89N";  // requires_grad, hooks
  std::string function = "_rebuild_tensor_v2";
};

inline std::string storage(const TensorPickle& t) {
  return tuple(text("storage") + t.storage_class + text(t.key) + text("cpu") + integer(t.num_elements) + t.view) + "Q";
}
inline std::string tensor(const TensorPickle& t = {}) {
  return call(global("torch._utils", t.function),
              storage(t) + integer(t.offset) + integers(t.sizes) + integers(t.strides) + t.more);
}

// One entry of an archive; what is not given is right.
struct ZipPart {
  std::string name;
  std::string data = "";
  uint16_t flags = 0;
  uint16_t method = 0;
  int crc_error = 0;
  std::string local_name = name;       // in the local header
  uint64_t local_bytes = data.size();  // there too
  uint64_t central_bytes = data.size();
  uint64_t stored_bytes = central_bytes;
  std::string extra = "";  // of the directory
  std::string after = "";  // behind the data
  int64_t shift = 0;       // added to the offset in the directory
  std::string comment = "";
};

struct ZipTail {
  int64_t more_entries = 0;  // added to the count
  int64_t more_bytes = 0;    // to the directory's size
  int64_t more_offset = 0;
  std::string before_directory = "";
  std::string after_directory = "";
  std::string zip64 = "";  // put between the directory and the end record
  std::string comment = "";
};

inline std::string zip(const std::vector<ZipPart>& parts, const ZipTail& tail = {}) {
  std::string out;
  std::string directory;
  for (const ZipPart& part : parts) {
    const auto offset = static_cast<uint64_t>(static_cast<int64_t>(out.size()) + part.shift);
    const uint64_t crc = ::crc32_z(0, reinterpret_cast<const Bytef*>(part.data.data()), part.data.size()) +
                         static_cast<uint64_t>(part.crc_error);
    const std::string kind = number(part.flags, 2) + number(part.method, 2) + number(0, 4) + number(crc, 4);
    out += "PK\x03\x04" + number(20, 2) + kind + number(part.local_bytes, 4) + number(part.local_bytes, 4) +
           number(part.local_name.size(), 2) + number(0, 2) + part.local_name + part.data + part.after;
    directory += "PK\x01\x02" + number(20, 2) + number(20, 2) + kind + number(part.stored_bytes, 4) +
                 number(part.central_bytes, 4) + number(part.name.size(), 2) + number(part.extra.size(), 2) +
                 number(part.comment.size(), 2) + number(0, 8) + number(offset, 4) + part.name + part.extra +
                 part.comment;
  }
  out += tail.before_directory;
  const auto offset = static_cast<uint64_t>(static_cast<int64_t>(out.size()) + tail.more_offset);
  const auto count = static_cast<uint64_t>(static_cast<int64_t>(parts.size()) + tail.more_entries);
  const auto size = static_cast<uint64_t>(static_cast<int64_t>(directory.size()) + tail.more_bytes);
  return out + directory + tail.after_directory + tail.zip64 + "PK\x05\x06" + number(0, 4) + number(count, 2) +
         number(count, 2) + number(size, 4) + number(offset, 4) + number(tail.comment.size(), 2) + tail.comment;
}

// The zip64 record and its locator, for a directory that lies at `offset`; the record is said to be `shift` further.
inline std::string zip64_end(uint64_t count, uint64_t bytes, uint64_t offset, int64_t shift = 0) {
  const auto at = static_cast<uint64_t>(static_cast<int64_t>(offset + bytes) + shift);
  return "PK\x06\x06" + number(44, 8) + number(45, 2) + number(45, 2) + number(0, 8) + number(count, 8) +
         number(count, 8) + number(bytes, 8) + number(offset, 8) + "PK\x06\x07" + number(0, 4) + number(at, 8) +
         number(1, 4);
}

// A checkpoint of the zip form with this object; storages are given with their keys.
inline std::string torch_zip(std::string_view object, const std::vector<ZipPart>& storages = {}) {
  std::vector<ZipPart> parts = {{.name = "a/data.pkl", .data = stop(object)}};
  for (const ZipPart& storage : storages) parts.push_back({.name = "a/data/" + storage.name, .data = storage.data});
  return zip(parts);
}

inline std::string legacy_head() {
  return stop("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") + stop("M\xe9\x03") +
         stop(dict(text("little_endian") + "\x88"));
}
// The legacy form; `tail` is what follows the pickles.
inline std::string torch_legacy(std::string_view object, std::string_view keys, std::string_view tail) {
  return legacy_head() + stop(object) + stop("](" + std::string(keys) + "e") + std::string(tail);
}

}  // namespace polyphony::testing
