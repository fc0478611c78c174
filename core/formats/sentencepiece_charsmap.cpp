// SPDX-License-Identifier: Apache-2.0
#include "core/formats/sentencepiece_charsmap.h"

#include <cstdint>
#include <vector>

#include "core/check.h"

namespace polyphony::formats {
namespace {

constexpr size_t kUnitBytes = 4;

uint32_t load_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = kUnitBytes; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// Fields of one unit of the array.
struct Unit {
  uint32_t bits;
  bool has_leaf() const { return (bits >> 8 & 1) != 0; }
  uint32_t value() const { return bits & 0x7fffffff; }
  uint32_t label() const { return bits & 0x800000ff; }
  uint32_t offset() const { return (bits >> 10) << ((bits & (1u << 9)) >> 6); }
};

}  // namespace

void check_charsmap(std::string_view charsmap) {
  if (charsmap.empty()) return;
  const auto require = [&](bool ok, const char* what) {
    check<DataError>(ok, "[charsmap] the normaliser table must ", what);
  };
  require(charsmap.size() >= kUnitBytes, "hold the size of its trie");
  const size_t trie_bytes = load_u32(charsmap, 0);
  require(trie_bytes < charsmap.size() - kUnitBytes, "hold its whole trie and the strings after it");
  require(trie_bytes % kUnitBytes == 0 && trie_bytes > 0, "have a trie of whole units");
  const std::string_view trie = charsmap.substr(kUnitBytes, trie_bytes);
  const std::string_view strings = charsmap.substr(kUnitBytes + trie_bytes);
  require(strings.back() == '\0', "end its last string");

  const auto num_units = static_cast<uint32_t>(trie_bytes / kUnitBytes);
  const auto unit_at = [&](uint32_t index) { return Unit{load_u32(trie, index * kUnitBytes)}; };
  std::vector<bool> seen(num_units);
  std::vector<uint32_t> open = {0};
  seen[0] = true;
  while (!open.empty()) {
    const uint32_t node = open.back();
    open.pop_back();
    const Unit unit = unit_at(node);
    const uint32_t base = node ^ unit.offset();
    require((base | 0xff) < num_units, "have a trie that stays inside itself");
    if (unit.has_leaf()) require(unit_at(base).value() < strings.size(), "point to strings that it holds");
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t child = base ^ byte;
      if (seen[child] || unit_at(child).label() != byte) continue;
      seen[child] = true;
      open.push_back(child);
    }
  }
}

}  // namespace polyphony::formats
