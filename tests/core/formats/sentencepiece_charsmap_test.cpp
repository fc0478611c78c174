// SPDX-License-Identifier: Apache-2.0
#include "core/formats/sentencepiece_charsmap.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <map>

#include "core/error.h"

namespace polyphony::formats {
namespace {

using ::testing::HasSubstr;
using Units = std::map<uint32_t, uint32_t>;

std::string refusal(const std::string& bytes) {
  try {
    check_charsmap(bytes);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

// A trie with the given units; the others are value units, to which no label leads.
std::string charsmap(const Units& units, const std::string& strings, uint32_t num_units = 256) {
  std::string out;
  const auto add = [&](uint32_t value) {
    for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> 8 * i & 0xff);
  };
  add(num_units * 4);
  for (uint32_t i = 0; i < num_units; ++i) add(units.contains(i) ? units.at(i) : 0x80000000u);
  return out + strings;
}

const std::string kStrings("A\0", 2);
// The root is unit 0 with offset 0, so its child for 'a' is unit 'a'; that one has a leaf at 'a' ^ 1.
constexpr uint32_t kLeaf = 'a' | 1u << 8 | 1u << 10;

TEST(Charsmap, AcceptsATrieThatStaysInside) {
  EXPECT_EQ(refusal(""), "accepted");
  EXPECT_EQ(refusal(charsmap({{0, 0}, {'a', kLeaf}}, kStrings)), "accepted");
}

TEST(Charsmap, RefusesStepsAndValuesOutside) {
  EXPECT_THAT(refusal(charsmap({{0, 256u << 10}}, kStrings)), HasSubstr("stays inside itself"));
  EXPECT_THAT(refusal(charsmap({{0, 0}, {'a', 'a' | 0xffffu << 10}}, kStrings)), HasSubstr("stays inside itself"));
  EXPECT_THAT(refusal(charsmap({{0, 0}}, kStrings, 255)), HasSubstr("stays inside itself"));
  EXPECT_THAT(refusal(charsmap({{0, 0}, {'a', kLeaf}, {'a' ^ 1, 0x80000000u | 99}}, kStrings)),
              HasSubstr("strings that it holds"));
}

TEST(Charsmap, RefusesSizesThatDoNotFit) {
  EXPECT_THAT(refusal("abc"), HasSubstr("size of its trie"));
  EXPECT_THAT(refusal(std::string(4, '\xff') + "aaaa"), HasSubstr("whole trie"));
  EXPECT_THAT(refusal(std::string("\x03\0\0\0aaaa\0", 9)), HasSubstr("whole units"));
  EXPECT_THAT(refusal(charsmap({{0, 0}}, "A")), HasSubstr("end its last string"));
}

}  // namespace
}  // namespace polyphony::formats
